"""Claims on trials: two runs on one workspace divide the trials between them. `config.claims` holds claims of papers.

Before a run trains a trial, it claims it: it creates `<trial_id>.claim`, which only one run can do. It removes the file
when the record is stored. While a run is alive, it counts up in a file of its own, `<name>.pulse`. Clocks of two
machines may disagree, so no times are compared: a run on another machine is dead once its pulse has not changed for
STALE_SECONDS of the observer's own clock. A run on the same machine is dead when its process is.

Claims save time and protect nothing: records and checkpoints are written atomically, and training a trial twice gives
bit-identical results. A run that cannot write a claim therefore trains without.
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

HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 120.0  # a shared file system may show what another machine wrote a minute late
MAX_TRIES = 5  # to acquire a claim that other runs create and remove meanwhile; then the run trains without

monotonic = time.monotonic


@dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """One process that trains a suite.

    `place` is equal for processes that see each other's process ids (one boot of one machine, one container). `born` is
    when the process started: a process id that is used again has another.
    """

    name: str
    host: str
    pid: int
    place: str
    born: str

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}"

    @classmethod
    def this(cls) -> "RunIdentity":
        """The identity of this process."""
        pid = os.getpid()
        return cls(name=uuid4().hex, host=socket.gethostname(), pid=pid, place=_place(), born=_born(pid))


# The owner of a claim that cannot be read: it was killed while writing.
UNKNOWN = RunIdentity(name="unknown", host="an unknown machine", pid=0, place="", born="")


class TrialClaims:
    """The claims of all runs in one folder, as one run sees them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = RunIdentity.this()
        self.held: set[str] = set()
        self.write_error = ""  # why a claim could not be written, else empty
        self._pulses: dict[str, tuple[bytes, float]] = {}  # run name -> its last pulse, and when that was first seen

    @contextmanager
    def heartbeating(self) -> Iterator["TrialClaims"]:
        """Inside, other runs see this one as alive. On exit all its claims are released."""
        self.remove_dead()
        stop = threading.Event()
        thread = threading.Thread(target=self._heartbeat, args=(stop,), name="claims", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()
            for trial_id in list(self.held):
                self.release(trial_id)
            with suppress(OSError):
                self._pulse_path(self.run).unlink()
            with suppress(OSError):
                self.folder.rmdir()

    def acquire(self, trial_id: str) -> bool:
        """Claim a trial. False if another living run holds it."""
        for _ in range(MAX_TRIES):
            if self._create(trial_id):
                break
            owner = _read_identity(self._claim_path(trial_id))
            if owner is not None and self.is_alive(owner):
                return owner == self.run
            if owner is not None:
                self._remove_claim(trial_id, owner)
        self.held.add(trial_id)
        return True

    def release(self, trial_id: str) -> None:
        """Give up the claim on a trial, if this run holds it."""
        self.held.discard(trial_id)
        path = self._claim_path(trial_id)
        if _read_identity(path) == self.run:
            with suppress(OSError):
                path.unlink()

    def owner(self, trial_id: str) -> RunIdentity | None:
        """The other, living run that holds a trial; None without one."""
        owner = _read_identity(self._claim_path(trial_id))
        return owner if owner not in (None, self.run) and self.is_alive(owner) else None

    def is_alive(self, run: RunIdentity) -> bool:
        """Whether a run is alive, as far as is known here."""
        if run.place and run.place == self.run.place:
            return bool(run.born) and _born(run.pid) == run.born
        pulse, now = b"", monotonic()
        with suppress(OSError):
            pulse = self._pulse_path(run).read_bytes()
        last_pulse, since = self._pulses.setdefault(run.name, (pulse, now))
        if pulse != last_pulse:
            self._pulses[run.name] = pulse, now
            return True
        return now - since < STALE_SECONDS

    def remove_dead(self) -> None:
        """Remove the claims and pulses of killed processes of this machine."""
        for path in [*self.folder.glob("*.claim"), *self.folder.glob("*.pulse")]:
            run = _read_identity(path)
            if run and run.place == self.run.place and not self.is_alive(run):
                if path.suffix == ".claim":
                    self._remove_claim(path.stem, run)
                else:
                    with suppress(OSError):
                        path.unlink()
        with suppress(OSError):
            self.folder.rmdir()

    def _claim_path(self, trial_id: str) -> Path:
        return self.folder / f"{trial_id}.claim"

    def _pulse_path(self, run: RunIdentity) -> Path:
        return self.folder / f"{run.name}.pulse"

    def _create(self, trial_id: str) -> bool:
        """Create the claim. False if there is one; True also if the disk refuses it (see `write_error`)."""
        path = self._claim_path(trial_id)
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
            self.write_error = error.strerror or str(error)
        return True

    def _remove_claim(self, trial_id: str, dead: RunIdentity) -> None:
        """Remove a dead run's claim. Of several runs that try at once, one succeeds in renaming the file."""
        path, aside = self._claim_path(trial_id), self.folder / f".{trial_id}-{uuid4().hex}"
        with suppress(OSError):
            path.rename(aside)
            if _read_identity(aside) != dead:  # another run was faster and holds the trial by now: put its claim back
                with suppress(OSError):
                    os.link(aside, path)
            aside.unlink()

    def _heartbeat(self, stop: threading.Event) -> None:
        beats, identity = 0, json.dumps(asdict(self.run))
        while True:
            with suppress(OSError):
                self.folder.mkdir(parents=True, exist_ok=True)
                # Overwritten in place: another machine would see a new file later.
                self._pulse_path(self.run).write_text(f"{identity}\n{beats}\n")
            beats += 1
            if stop.wait(HEARTBEAT_SECONDS):
                return


def _read_identity(path: Path) -> RunIdentity | None:
    """The run that wrote a claim or a pulse; None without a file, UNKNOWN if it is damaged."""
    try:
        return RunIdentity(**json.loads(path.read_bytes().partition(b"\n")[0]))
    except OSError:
        return None
    except (ValueError, TypeError):
        return UNKNOWN


def _place() -> str:
    """One boot of one machine and one process-id namespace; empty where the system does not tell."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return ""


def _born(pid: int) -> str:
    """When a process started, in clock ticks since the machine did; empty if it has ended or is a zombie."""
    with suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    return ""
