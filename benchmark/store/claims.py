"""Two runs on one workspace: each trial is trained by one of them.

A run claims a trial before it trains it, by a small file that only one run can make, and lets go of it when the record
is stored. While a run lives it counts up in a file of its own, its pulse. The clocks of two machines may disagree, so
no time is ever compared: a run whose pulse was not seen to change for STALE_SECONDS, by the clock of the one that
looks, is dead. On one machine its process is looked at instead.

Claims save time and protect nothing: records and checkpoints are written all or nothing, and two trainings of one trial
give the same bits. So where a claim cannot be written, a run goes on without.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

BEAT_SECONDS = 10.0
TRIES = 5  # to get hold of a claim that comes and goes, or cannot be removed; then a run goes on without
STALE_SECONDS = 120.0  # a shared file system may show what another machine wrote a minute late

monotonic = time.monotonic


@dataclass(frozen=True)
class RunIdentity:
    """One process that trains a suite. Within one `place` a `pid` is one process, and one `born` later is another."""

    name: str
    host: str
    pid: int
    place: str
    born: str

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}"

    @classmethod
    def this(cls) -> "RunIdentity":
        """The run of this process."""
        pid = os.getpid()
        return cls(uuid4().hex, socket.gethostname(), pid, _place(), _born(pid))


UNKNOWN = RunIdentity(
    "unknown", "an unknown machine", 0, "", ""
)  # whose claim cannot be read: it was killed while writing


class Claims:
    """The claims of all runs under one folder, as one run sees them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = RunIdentity.this()
        self.mine: set[str] = set()
        self.problem = ""  # why a claim could not be written
        self._pulses: dict[str, tuple[bytes, float]] = {}  # of other runs: the last one seen, and since when

    @contextmanager
    def beating(self) -> Iterator["Claims"]:
        """Alive inside, as other runs see it. At the end all claims of this run are let go of."""
        self.sweep()
        over = threading.Event()
        thread = threading.Thread(target=self._beat, args=(over,), name="claims", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            over.set()
            thread.join()
            for trial_id in list(self.mine):
                self.release(trial_id)
            with suppress(OSError):
                self._pulse(self.run).unlink()
            with suppress(OSError):
                self.folder.rmdir()

    def take(self, trial_id: str) -> bool:
        """Whether the trial is this run's from now on: no living run has it."""
        for _ in range(TRIES):
            if self._write(trial_id):
                break
            holder = self._read(trial_id)
            if holder is not None and self.lives(holder):
                return holder == self.run
            if holder is not None:
                self._remove(trial_id, holder)
        self.mine.add(trial_id)
        return True

    def release(self, trial_id: str) -> None:
        """Let go of a trial."""
        self.mine.discard(trial_id)
        if self._read(trial_id) == self.run:
            with suppress(OSError):
                self._path(trial_id).unlink()

    def holder(self, trial_id: str) -> RunIdentity | None:
        """The living run that has the trial, if it is another one."""
        holder = self._read(trial_id)
        return holder if holder not in (None, self.run) and self.lives(holder) else None

    def lives(self, run: RunIdentity) -> bool:
        """Whether a run is not known to be dead."""
        if run.place and run.place == self.run.place:
            return bool(run.born) and _born(run.pid) == run.born
        seen, now = _content(self._pulse(run)), monotonic()
        last, since = self._pulses.setdefault(run.name, (seen, now))
        if seen != last:
            self._pulses[run.name] = seen, now
            return True
        return now - since < STALE_SECONDS

    def _path(self, trial_id: str) -> Path:
        return self.folder / f"{trial_id}.claim"

    def _pulse(self, run: RunIdentity) -> Path:
        return self.folder / f"{run.name}.pulse"

    def _write(self, trial_id: str) -> bool:
        """Whether there is now no other claim: this run's own, or none, as the disk refuses to keep it."""
        path = self._path(trial_id)
        try:
            if not self.folder.is_dir():
                self.folder.mkdir(parents=True, exist_ok=True)
            with path.open("xb", buffering=0) as file:
                try:
                    file.write(json.dumps(asdict(self.run)).encode())
                except OSError:
                    path.unlink()
                    raise
        except OSError as error:
            if isinstance(error, FileExistsError) and self.folder.is_dir():
                return False
            self.problem = error.strerror or str(error)
        return True

    def _read(self, trial_id: str) -> RunIdentity | None:
        return _run(self._path(trial_id))

    def _remove(self, trial_id: str, dead: RunIdentity) -> None:
        """Remove the claim of a dead run. Of several that try, one gets hold of the file."""
        path, aside = self._path(trial_id), self.folder / f".{trial_id}-{uuid4().hex}"
        with suppress(OSError):
            path.rename(aside)
            if _run(aside) != dead:  # another one was quicker, and has claimed it by now
                with suppress(OSError):
                    os.link(aside, path)
            aside.unlink()

    def sweep(self) -> None:
        """Clear what processes of this machine left that were killed."""
        for path in self.folder.glob("*.claim"):
            if (run := _run(path)) and self._died_here(run):
                self._remove(path.stem, run)
        for path in self.folder.glob("*.pulse"):
            if (run := _run(path)) and self._died_here(run):
                with suppress(OSError):
                    path.unlink()
        with suppress(OSError):
            self.folder.rmdir()

    def _died_here(self, run: RunIdentity) -> bool:
        return run.place == self.run.place and not self.lives(run)

    def _beat(self, over: threading.Event) -> None:
        beats, whose = 0, json.dumps(asdict(self.run))
        while True:
            with suppress(OSError):
                self.folder.mkdir(parents=True, exist_ok=True)
                # In place: a new file would be seen later elsewhere.
                self._pulse(self.run).write_text(f"{whose}\n{beats}\n")
            beats += 1
            if over.wait(BEAT_SECONDS):
                return


def _run(path: Path) -> RunIdentity | None:
    """Whose claim, or pulse, a file is; None when there is none."""
    try:
        return RunIdentity(**json.loads(path.read_bytes().partition(b"\n")[0]))
    except OSError:
        return None
    except (ValueError, TypeError):
        return UNKNOWN


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _place() -> str:
    """The same for two processes only when they see each other's ids: one boot of one machine, one container."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return ""


def _born(pid: int) -> str:
    """When a process began, in ticks since the machine did; empty when it has ended."""
    with suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    return ""
