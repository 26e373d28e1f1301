"""Runs commands in this process and checks how they handle bad input.

A command must end within a time limit, with exit code 0, 1 or 2. Exit code 2 comes with one message that names the file
or the option, without a traceback and without control characters. Nothing is written outside the folders that the
command was given, and no code from data is run.
"""

import contextlib
import io
import os
import resource
import signal
import sys
import tempfile
import traceback
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from benchmark.cli import app

SECONDS, PATIENCE = 20.0, 120.0  # of CPU time, and of wall time, which is longer on a busy machine
MEMORY = 6 << 30  # bytes that a command may allocate: a small file must not make it fill the machine
LONGEST = 2000  # characters in a line of a message
TRAP = "trap-was-sprung"  # the folder that code in data would create

WRITING = {"os.mkdir": 0, "os.remove": 0, "os.rmdir": 0, "os.truncate": 0, "os.chmod": 0}
TWO_PATHS = {"os.rename": (0, 1), "os.link": (1,), "os.symlink": (1,)}
STARTING = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "pty.spawn")
PROGRAMS = (
    "git",
    "ldconfig",
    "nvidia-smi",
    "uname",
)  # with which the machine is described, and libraries are found
ALLOWED = (
    "/dev/null",
    "/dev/shm",
    "/proc/self",
    "/proc/none",
    "__pycache__",
    "matplotlib",
    "torchinductor",
    "/dev/tty",
)


class Hang(BaseException):
    """The command did not end. Not an Exception, so that no handler treats it as a failed trial."""


@dataclass
class _Watch:
    """Records what an audit hook sees: every file that Python opens and every process that it starts."""

    inside: tuple[str, ...] = ()
    seen: list[str] | None = None  # None: not watching

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.seen is None:
            return
        if event == "open":
            path, mode, flags = arguments
            if path is None or isinstance(path, int) or not _writes(mode, flags):
                return
            self._judge(event, path)
        elif event in WRITING:
            if not isinstance(arguments[-1], int) or arguments[-1] == -1 or event == "os.truncate":
                self._judge(event, arguments[WRITING[event]])  # else the path is of a folder that was opened before
        elif event in TWO_PATHS:
            for index in TWO_PATHS[event]:
                self._judge(event, arguments[index])
        elif event in STARTING and not Path(str(arguments[0])).name.startswith(PROGRAMS):
            self.seen.append(f"{event} {arguments[0]!r}")

    def _judge(self, event: str, path: Any) -> None:
        assert self.seen is not None
        if isinstance(path, int) or str(path) == "/proc":  # is there, and is asked for as the parent of another
            return
        where = os.path.normpath(Path.cwd() / os.fsdecode(path))
        if not where.startswith(self.inside) and not any(part in where for part in ALLOWED):
            self.seen.append(f"{event} {where}")


def _steers(character: str) -> bool:
    """Whether a terminal would interpret the character rather than show it."""
    kind = unicodedata.category(character)
    return (kind in ("Cc", "Cs", "Zl", "Zp") and character != "\n") or "\u202a" <= character <= "\u202e"


def _writes(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))


_watch = _Watch()
_hooked: list[bool] = []


@dataclass(frozen=True)
class Answer:
    """How a command ended: its exit code and its output."""

    code: int
    out: str
    err: str


@dataclass
class Room:
    """A folder with everything that commands get. They may write only to `workspace` and `reports`."""

    root: Path
    findings: list[str] = field(default_factory=list)
    cases: int = 0

    def __post_init__(self) -> None:
        for name in ("suites", "workspace", "reports", "data"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        if not _hooked:
            sys.addaudithook(_watch.hook)
            _hooked.append(True)

    def run(
        self,
        *arguments: str,
        names: Sequence[str] = (),
        allow: Sequence[int] = (0, 1, 2),
        places: Sequence[str] = ("workspace", "reports"),
    ) -> Answer:
        """Run one command and check it.

        Args:
            arguments: the command line.
            names: the message of a refusal must name at least one of these.
            allow: the accepted exit codes.
            places: the folders that the command may write to.
        """
        self.cases += 1
        before = self._outside(places)
        inside = (*(str(self.root / place) for place in places), tempfile.gettempdir() + "/mlflow-mirror-")
        _watch.inside, _watch.seen = inside, []
        try:
            answer = _ended(list(arguments), self.root)
        except (Hang, AssertionError) as problem:
            raise AssertionError(f"{_shown(arguments)}\n{problem}") from None
        finally:
            seen, _watch.seen = _watch.seen or [], None
        told = f"{_shown(arguments)}\nexit code {answer.code}\n{answer.out[-500:]}\n{answer.err[-3000:]}"
        assert not seen, f"wrote or started: {seen[:5]}\n{told}"
        after = self._outside(places)
        assert after == before, f"files outside were changed: {after ^ before}\n{told}"
        assert answer.code in allow, told
        assert "Traceback" not in answer.err + answer.out, told
        typed = "".join(arguments)
        steering = sorted({c for c in answer.out + answer.err if _steers(c) and c not in typed})
        assert not steering, f"control characters {steering[:5]!r} were printed\n{told!r}"
        if answer.code == 2 and "Usage:" not in answer.out:  # the help of a command that needs arguments
            judge_message(answer.err, names, told)
        return answer

    def _outside(self, places: Sequence[str]) -> set[tuple[str, int, int]]:
        """Every file and folder that the command must not change, with size and time of change."""
        found = set()
        folders = [self.root]
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    at = Path(entry.path)
                    if at.parent == self.root and entry.name in places:
                        continue
                    state = entry.stat(follow_symlinks=False)
                    is_folder = entry.is_dir(follow_symlinks=False)
                    found.add((entry.path, 0 if is_folder else state.st_size, 0 if is_folder else state.st_mtime_ns))
                    if is_folder:
                        folders.append(at)
        return found


def judge_message(said: str, names: Sequence[str], told: str) -> None:
    """Check that there is one message, that it names one of `names`, and that no line is too long."""
    said_once = sum(line.startswith("error: ") for line in said.splitlines()) == 1
    assert said_once or said.count("─ Error ─") == 1, f"not one message\n{told}"
    assert max(map(len, said.splitlines())) <= LONGEST, f"a line is too long\n{told[:3000]}"
    squeezed = "".join(said.split()).replace("│", "")  # usage errors are wrapped in a box
    assert not names or any("".join(name.split()) in squeezed for name in names), f"names none of {names}\n{told}"


def _ended(arguments: list[str], folder: Path) -> Answer:
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors) for errors in ("strict", "backslashreplace"))
    before, argv = Path.cwd(), sys.argv
    sys.argv = ["benchmark", *arguments]
    os.chdir(folder)
    code: Any = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _limited():
            app.main()
    except SystemExit as ended:
        code = ended.code if ended.code is not None else 0
    except Hang:
        raise Hang(
            f"did not end in {SECONDS:g} s of work or {PATIENCE:g} s; it was at\n{traceback.format_exc()[-1500:]}"
        ) from None
    except BaseException:
        raise AssertionError(traceback.format_exc()[-4000:]) from None
    finally:
        os.chdir(before)
        sys.argv = argv
    assert isinstance(code, int), code
    for stream in (out, err):
        stream.flush()
    return Answer(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))  # type: ignore[attr-defined]


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Limits time and memory."""

    def late(number: int, frame: FrameType | None) -> None:
        raise Hang

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    previous = [signal.signal(number, late) for number in (signal.SIGALRM, signal.SIGPROF)]
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        for timer in (signal.ITIMER_REAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)
        for number, handler in zip((signal.SIGALRM, signal.SIGPROF), previous, strict=True):
            signal.signal(number, handler)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _shown(arguments: Sequence[str]) -> str:
    return " ".join(repr(argument)[:200] for argument in arguments)


def collect_failures(cases: Iterator[Callable[[], Any]], most: int = 20) -> list[str]:
    """Run all cases and return at most `most` failures, one of each kind."""
    found: dict[str, str] = {}
    for case in cases:
        try:
            case()
        except AssertionError as problem:
            found.setdefault(_kind(str(problem)), str(problem))
            if len(found) >= most:
                break
    return list(found.values())


def _kind(problem: str) -> str:
    """The last frame of a traceback, or else the last line."""
    frames = [line.strip() for line in problem.splitlines() if line.strip().startswith("File ")]
    return frames[-1] if frames else problem.splitlines()[-1][:60]
