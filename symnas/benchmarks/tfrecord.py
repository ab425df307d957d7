"""TFRecord files and protocol-buffer messages, read without TensorFlow [1, 2].

[1] https://www.tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details"
[2] https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from pathlib import Path

_MOST_BYTES = 1 << 24  # Of one record.


def records(path: Path, check: bool = True) -> Iterator[bytes]:
    """The records of a file.

    Args:
      check: compares the checksums of the contents, which is most of the time. Those of
        the lengths are always compared.

    Raises:
      ValueError: the file is damaged or truncated.
    """
    with open(path, "rb") as file:
        number = 0
        while head := file.read(12):
            title = f"{path}, record {number}"
            if len(head) < 12:
                raise ValueError(f"{title}: the file is truncated.")
            length, checksum = struct.unpack("<QI", head)
            if _masked_crc(head[:8]) != checksum or length > _MOST_BYTES:
                raise ValueError(f"{title} is damaged, or this is no TFRecord file.")
            data, tail = file.read(length), file.read(4)
            if len(data) < length or len(tail) < 4:
                raise ValueError(f"{title}: the file is truncated.")
            if check and _masked_crc(data) != struct.unpack("<I", tail)[0]:
                raise ValueError(f"{title} is damaged: its checksum is another.")
            yield data
            number += 1


def fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """The fields of a message: its number, and an integer, a double or bytes.

    Raises:
      ValueError: it is no message.
    """
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, kind = tag >> 3, tag & 7
        value: int | float | bytes
        if kind == 0:
            value, position = _varint(message, position)
        elif kind == 1 and position + 8 <= len(message):
            (value,) = struct.unpack_from("<d", message, position)
            position += 8
        elif kind == 2:
            length, position = _varint(message, position)
            value = message[position : position + length]
            if len(value) < length:
                raise ValueError("a message is truncated")
            position += length
        else:
            raise ValueError(f"a message is truncated, or has a field of type {kind}")
        yield number, value


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """A number of seven bits per byte, the lowest first, and where it ends."""
    value = shift = 0
    while position < len(message) and shift < 70:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("a message is truncated")


def _masked_crc(data: bytes) -> int:
    """CRC-32C, rotated and shifted as the format asks."""
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)  # Castagnoli.
        table.append(byte)
    return table
