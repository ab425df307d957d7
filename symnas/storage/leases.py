"""Which workers of a study are alive.

Every worker counts its beats in the store. The others count how often they beat in the
meantime, so no clock is involved: none that jumps ends a lease, and neither does a pause
of the one who watches.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from symnas.storage.errors import StorageError

if TYPE_CHECKING:
    from symnas.storage.journal import Journal

BEAT_SECONDS = 5.0
LEASE_SECONDS = 60.0  # A long computation may hold the interpreter for a while.
_STOP_SECONDS = 10.0  # To wait for a beat that is under way.


def new_worker() -> str:
    """A name that tells others on this machine whether the process is still there."""
    process = os.getpid()
    return f"{_place()}/{process}/{_started(process)}/{uuid.uuid4().hex[:12]}"


def process_of(worker: str) -> str:
    """The machine and the number of the process behind such a name."""
    place, _, rest = worker.partition("/")
    return f"{place.partition(':')[0]}/{rest.partition('/')[0]}" if rest else worker


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
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]  # It may be dead, but still listed.


def _is_running_here(worker: str) -> bool | None:
    """Whether the process of a worker is still there; None if it is not of this machine."""
    place, process, started, _ = worker.rsplit("/", 3)
    if place != _place():
        return None
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return _started(int(process)) == started


class Leases:
    """Beats for one worker, in a thread of its own, and watches the others."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._beats: dict[str, int] = {}
        self._missed: dict[str, int] = {}  # Beats of ours since the last sign of life.
        self._seen_alive: set[str] = set()
        self._stopped = threading.Event()
        self._observe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def state(self, worker: str) -> Literal["alive", "dead", "unknown"]:
        """A worker found elsewhere is unknown until it beats or its lease ends."""
        runs = _is_running_here(worker) if worker else False
        if runs is False:
            return "dead"
        if self._missed.setdefault(worker, 0) * BEAT_SECONDS >= LEASE_SECONDS:
            return "dead"
        return "alive" if runs or worker in self._seen_alive else "unknown"

    def heard_of(self, worker: str) -> None:
        """Notes that a worker has just done something."""
        self._missed[worker] = 0
        self._seen_alive.add(worker)

    def stop(self) -> None:
        """Ends the beats; one that is under way may still need its connection."""
        self._stopped.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            try:
                self._observe()
            except StorageError:
                continue  # The loop meets the same error, and raises it.

    def _observe(self) -> None:
        found = self._journal.beat()
        for worker in list(self._missed):
            self._missed[worker] += 1
        for worker, beats in found.items():
            if self._beats.get(worker, beats) != beats:
                self.heard_of(worker)
            self._beats[worker] = beats
