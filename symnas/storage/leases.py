"""Which workers of a study are alive.

Every worker counts its beats in the store. The others watch these counts by their own
monotonic clocks and so need no common time: a clock that jumps ends no lease.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from symnas.storage.errors import StorageError

if TYPE_CHECKING:
    from symnas.storage.journal import Journal

BEAT_SECONDS = 5.0
LEASE_SECONDS = (
    60.0  # Without a beat; also a long computation may hold the interpreter.
)


def new_worker() -> str:
    """A name that tells others on this machine whether the process is still there."""
    process = os.getpid()
    return f"{_place()}/{process}/{_started(process)}/{uuid.uuid4().hex[:12]}"


def _place() -> str:
    """The machine since its last start, and the part of it that numbers processes."""
    boot, numbering = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    try:
        part = f"{boot.read_text().strip()}:{numbering.stat().st_ino}"
    except OSError:  # Not Linux.
        part = ""
    return f"{socket.gethostname()}:{part}"


def _started(process: int) -> str:
    """When a process was started, since a number may be given again; '' if unknown."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]


def _has_died_here(worker: str) -> bool:
    """Whether a worker was a process of this machine that is no more."""
    place, process, started, _ = worker.rsplit("/", 3)
    if place != _place():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return _started(int(process)) != started


class Leases:
    """Beats for one worker, in a thread of its own, and watches the others."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._beats: dict[str, int] = {}
        self._changed: dict[str, float] = {}  # Monotonic seconds of the last change.
        self._first_seen: dict[str, float] = {}
        self._stopped = threading.Event()
        self._observe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def state(self, worker: str) -> Literal["alive", "dead", "unknown"]:
        """A worker found at the start is unknown until it beats or its lease ends."""
        if not worker or _has_died_here(worker):
            return "dead"
        now = time.monotonic()
        since = self._changed.get(worker)
        if since is None:
            first = self._first_seen.setdefault(worker, now)
            return "unknown" if now - first < LEASE_SECONDS else "dead"
        return "alive" if now - since < LEASE_SECONDS else "dead"

    def heard_of(self, worker: str) -> None:
        """Notes that a worker has just done something."""
        self._changed[worker] = time.monotonic()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            try:
                self._observe()
            except StorageError:
                continue  # The loop meets the same error, and raises it.

    def _observe(self) -> None:
        for worker, beats in self._journal.beat().items():
            if self._beats.get(worker, beats) != beats:
                self._changed[worker] = time.monotonic()
            self._beats[worker] = beats
