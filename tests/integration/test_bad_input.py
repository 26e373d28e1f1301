"""Bad input of every kind: thousands of damaged files and command lines, each accepted correctly or refused in words.

The default suite tries a few of each kind; `pytest -m long tests/integration/test_bad_input.py` tries them all.
"""

import base64
import io
import itertools
import json
import os
import pickle
import random
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
import yaml
from PIL import Image

from benchmark.cli import app
from benchmark.config.suite import load_suite
from benchmark.core import registry
from benchmark.data.raw import download
from benchmark.evaluation.extractors import digits
from benchmark.planning.cost_keys import feature_passes, training_cost_key
from benchmark.planning.hardware import Hardware
from benchmark.planning.timings import Calibration, Timing
from benchmark.store.record_store import RecordStore
from benchmark.store.records import Measurement, TrialRecord
from benchmark.store.workspace import Workspace
from benchmark.training import checkpoint
from benchmark.trials import runner, stopwatch
from tests import conftest
from tests.support.mutations import LONG, NASTY, as_yaml, damaged_bytes, mutants
from tests.support.oracle import TRAP, Room, collect_failures

ROOT = Path(__file__).resolve().parents[2]
Case = Callable[[], Any]


def _picture() -> str:
    content = io.BytesIO()
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(content, format="PNG")
    return base64.b64encode(content.getvalue()).decode()


PICTURE = _picture()
SMALL: dict[str, Any] = {
    "title": "Small",
    "about": "what it is about",
    "seeds": [0, 1],
    "resources": {"cpus": 1, "gpus": 0.0},
    "tolerance": {"modes": 0.1},
    "defaults": {
        **conftest.SMALL["defaults"],
        "optimizer": {"lr": 1e-3, "betas": [0.0, 0.9], "player_lr": {"generator": 1e-3}},
        "average": {"decay": 0.9, "start": 2},
        "sources": {"steps": "ours"},
    },
    "tables": [
        {
            "title": "Digits",
            "published": "own/one",
            "note": "of digits",
            "rows": {"GAN": {"method": "gan", "note": "plain"}, "SSGAN": {"method": "ssgan", "published": "none"}},
        },
        {"title": "More", "recipe": "tiny", "published_as": {"GAN": "own/one/GAN"}, "rows": {"GAN": {"method": "gan"}}},
    ],
    "scales": {
        "paper": {"about": "all of it"},
        "quick": {"seeds": [0], "width": 8, "samples": 50, "cell": {"steps": 4}},
    },
}
PAPER: dict[str, Any] = {
    "title": "A Paper",
    "authors": "Somebody",
    "venue": "NeurIPS",
    "year": 2019,
    "url": "https://example.org",
    "tables": {
        "one": {
            "title": "Table 1",
            "dataset": "stacked_digits",
            "status": "verified",
            "source": "the PDF, page 7",
            "spread_kind": "training_seeds",
            "n_seeds": 3,
            "discrepancies": ["X-04"],
            "protocol": {"n_fake": 100, "codec": "none", "feature_extractor": "digits"},
            "rows": {
                "GAN": {"values": {"modes": [99.0, 2.5], "kl": 1.0}},
                "SSGAN": {"values": {"modes": 900}, "note": "n"},
            },
        }
    },
}
RECIPE: dict[str, Any] = {"steps": 5, "methods": {"gan": {"batch_size": 4}}, "sources": "ours"}


def instant(job: Any, report: Any) -> TrialRecord:
    """Replaces the training of a trial by a fixed record."""
    spec = job.spec
    now = "2026-11-22T12:00:00+00:00"
    history = [Measurement(step=spec.steps, metrics={"modes": 3.0, "kl": 5.0}, losses={"generator/game": 0.5})]
    return TrialRecord(trial_id=spec.trial_id, spec=spec, status="finished", history=history, started=now, finished=now)


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """No downloads, no settings of the user, and a digit classifier that trains for one epoch."""
    monkeypatch.setattr(digits, "EPOCHS", {8: 1})

    def refused(*arguments: Any, **options: Any) -> Any:
        raise OSError("no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", refused)
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "SSGAN_"))]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Late imports take seconds, which must not count as a hang."""

    import benchmark.diagnostics.metrics
    import benchmark.execution.rerun
    import benchmark.execution.suite_run  # noqa: F401


@pytest.fixture
def room(tmp_path: Path) -> Room:
    room = Room(tmp_path / "room")
    folder = room.root / "suites"
    for name, tree in (("small.yaml", SMALL), ("papers/own.yaml", PAPER), ("recipes/tiny.yaml", RECIPE)):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(as_yaml(tree))
    return room


def replaced(room: Room, path: Path, content: bytes, case: Case) -> Case:
    """The case with a file's content replaced while it runs. A failure names the content."""

    def run() -> None:
        before = path.read_bytes() if path.exists() else None
        path.write_bytes(content)
        try:
            case()
        except AssertionError as problem:
            raise AssertionError(f"{problem}\nwith {path.name}: {content[:300]!r}") from None
        finally:
            if before is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(before)

    return run


def fresh(room: Room) -> Workspace:
    """The workspace without results."""
    place = Workspace.at(room.root / "workspace")
    for folder in (place.results, place.checkpoints, place.reproductions):
        shutil.rmtree(folder, ignore_errors=True)
    return place


# --- suites, recipes, papers ---------------------------------------------------------------------------


def suites(room: Room, rng: random.Random, patch: pytest.MonkeyPatch) -> Iterator[Case]:
    """A damaged suite, planned, reported and run."""
    patch.setattr(runner, "run_trial", instant)
    target = room.root / "suites" / "small.yaml"
    for content in mutants(rng.random(), target.read_bytes(), SMALL, as_yaml):
        fresh(room)
        at = "suites/small.yaml"
        command = rng.choice(
            (("plan", at),) * 6
            + (
                ("plan", at, "--json"),
                ("plan", at, "--scale", "quick"),
                ("report", at),
                ("run", at, "--runner", "inprocess"),
            )
        )
        yield replaced(
            room, target, content, lambda command=command: room.run(*command, names=["small.yaml", "own.yaml"])
        )


def shipped(room: Room, rng: random.Random, patch: pytest.MonkeyPatch) -> Iterator[Case]:
    """The shipped suites and recipes, damaged, and planned at each of their scales."""
    shutil.copytree(ROOT / "suites", room.root / "suites", dirs_exist_ok=True)
    folder = room.root / "suites"
    files = [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("recipes/*.yaml"))]
    trees = {path: yaml.safe_load(path.read_text()) for path in files}
    streams = {path: mutants(rng.random(), path.read_bytes(), trees[path], as_yaml) for path in files}
    while True:
        path = rng.choice(files)
        users = [suite for suite in files if suite.parent == folder and f"recipe: {path.stem}" in suite.read_text()]
        suite = rng.choice(users or [path]) if path.parent != folder else path
        if suite.parent != folder:
            continue
        scale = rng.choice([(), *(("--scale", scale) for scale in trees[suite].get("scales", ()))])
        names = [f"{name}.yaml" for name in (path.stem, suite.stem)]
        case = lambda suite=suite, scale=scale, names=names: room.run(  # noqa: E731
            "plan", f"suites/{suite.name}", *scale, names=[*names, ".yaml"]
        )
        yield replaced(room, path, next(streams[path]), case)


def recipes(room: Room, rng: random.Random, patch: pytest.MonkeyPatch) -> Iterator[Case]:
    """A damaged recipe, used by its suite and by `methods`."""
    target = room.root / "suites" / "recipes" / "tiny.yaml"
    for content in mutants(rng.random(), target.read_bytes(), RECIPE, as_yaml):
        command = rng.choice((("plan", "suites/small.yaml"), ("methods", "gan"), ("methods", "gan", "--json")))
        names = ["tiny.yaml", "small.yaml"]
        yield replaced(room, target, content, lambda command=command, names=names: room.run(*command, names=names))


def papers(room: Room, rng: random.Random, patch: pytest.MonkeyPatch) -> Iterator[Case]:
    """A damaged file of published values, printed and compared with results."""
    folder = room.root / "suites" / "papers"
    for path in (ROOT / "suites" / "papers").glob("*.yaml"):
        shutil.copy(path, folder)
    files = sorted(folder.glob("*.yaml"))
    streams = {
        path: mutants(rng.random(), path.read_bytes(), yaml.safe_load(path.read_text()), as_yaml) for path in files
    }
    while True:
        path = rng.choice((folder / "own.yaml", rng.choice(files)))
        commands: list[tuple[str, ...]] = [("papers", path.stem), ("papers", path.stem, "--json"), ("papers",)]
        if path.stem == "own":
            commands += [("plan", "suites/small.yaml"), ("report", "suites/small.yaml")]
        command = rng.choice(commands)
        names = [path.name, "small.yaml"]
        yield replaced(
            room, path, next(streams[path]), lambda command=command, names=names: room.run(*command, names=names)
        )


# --- files in the workspace ----------------------------------------------------------------------


def as_json(tree: Any) -> bytes:
    """JSON as the store writes it."""
    return json.dumps(tree, indent=1).encode()


def records(room: Room, rng: random.Random, patch: pytest.MonkeyPatch) -> Iterator[Case]:
    """A damaged record, and every command that reads records."""
    patch.setattr(runner, "run_trial", instant)
    suite = load_suite(room.root / "suites" / "small.yaml")
    store = RecordStore(fresh(room).results)
    for spec in suite.specs.values():
        store.write(instant(type("Job", (), {"spec": spec}), None))
    shutil.copytree(store.folder, room.root / "workspace" / "other" / "results", dirs_exist_ok=True)
    target = store.path(next(iter(suite.specs)))
    tree, at = json.loads(target.read_bytes()), "suites/small.yaml"
    for content in mutants(rng.random(), target.read_bytes(), tree, as_json):
        command = rng.choice(
            (
                ("plan", at),
                ("plan", at, "--json"),
                ("report", at),
                ("reproduce", target.stem),
                ("reproduce", target.stem, "--json"),
                ("report", at, "--compare", "workspace", "workspace/other"),
                ("run", at, "--runner", "inprocess"),
            )
        )
        yield replaced(room, target, content, lambda command=command: room.run(*command, names=[target.stem]))


def calibrations(room: Room, rng: random.Random, patch: pytest.MonkeyPatch) -> Iterator[Case]:
    """A damaged calibration is ignored or used; the plan never fails because of it."""
    suite = load_suite(room.root / "suites" / "small.yaml")
    target = fresh(room).calibration
    calibration = Calibration.load(target, Hardware.detect(suite.resources).fingerprint)
    spec = next(iter(suite.specs.values()))
    for kind in (training_cost_key(spec), *feature_passes(spec)):
        calibration.save(kind, Timing(kind=kind.model_dump(mode="json"), seconds=0.1, sample_seconds=0.01))
    tree = json.loads(target.read_bytes())
    for content in mutants(rng.random(), target.read_bytes(), tree, as_json):
        command = rng.choice((("plan", "suites/small.yaml"), ("plan", "suites/small.yaml", "--json")))
        yield replaced(room, target, content, lambda command=command: room.run(*command, allow=(0,)))


def reference(room: Room) -> dict[str, Any]:
    """The small suite trained for real, once: its evaluation networks, arrays and results."""
    fresh(room)
    answer = room.run("run", "suites/small.yaml", "--runner", "inprocess", *ONE)
    assert answer.code == 0, answer
    return results(room)


def results(room: Room) -> dict[str, Any]:
    """Trial id -> its measurements."""
    store = RecordStore(Workspace.at(room.root / "workspace").results)
    return {trial_id: record.history for trial_id, record in store.read_many(store.ids()).items()}


ONE = ("--seeds", "1", "--only", "Digits/GAN")


def run_or_refuse(room: Room, expected: dict[str, Any], names: list[str]) -> None:
    """A run over damaged files gives the same numbers as before, or says what is wrong."""
    place = fresh(room)
    answer = room.run("run", "suites/small.yaml", "--runner", "inprocess", *ONE, names=names, allow=(0, 2))
    if answer.code == 0:
        assert results(room) == expected
    else:
        assert not place.results.exists()


class Trap:
    """Creates a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (TRAP,)


def arrays(rng: random.Random, content: bytes) -> bytes:
    """A .npy file that is invalid, holds another array, or has a wrong header."""
    shape = np.load(io.BytesIO(content)).shape
    made = io.BytesIO()
    kind = rng.randrange(8)
    if kind < 3:
        return damaged_bytes(rng, content)
    if kind == 3:
        np.save(made, np.array([Trap()] * shape[0], dtype=object), allow_pickle=True)
    elif kind == 4:
        np.save(made, np.zeros(rng.choice([(0,), (1,), (), shape[:1], (*shape, 1), shape]), rng.choice(DTYPES)))
    elif kind == 5:  # the header promises more than there is, or what no machine has
        header = {"descr": rng.choice(("|u1", "<i8", "|O", "<U9")), "fortran_order": rng.random() < 0.5}
        size = rng.choice([shape, (10**15,), (2**62, 2**62), (-1,), (shape[0], 10**9)])
        np.lib.format.write_array_header_1_0(made, header | {"shape": size})  # type: ignore[arg-type]
        made.write(b"\0" * 100)
    elif kind == 6:
        made.write(pickle.dumps(Trap()))
    else:
        np.savez(made, np.zeros(3))
    return made.getvalue()


DTYPES = ("float64", "int8", "uint8", "int64", "complex64", "bool", "U3", "M8[s]")


def prepared(room: Room, rng: random.Random, patch: pytest.MonkeyPatch) -> Iterator[Case]:
    """Damaged arrays and manifests, and every command that opens them."""
    reference(room)
    place = Workspace.at(room.root / "workspace")
    folder = registry.datasets["stacked_digits"].prepared_dir(place.data)
    manifest = folder / "manifest.json"
    tree = json.loads(manifest.read_bytes())
    damaged_manifests = mutants(rng.random(), manifest.read_bytes(), tree, as_json)
    files = sorted(path for path in folder.iterdir() if path.suffix == ".npy")
    at = "suites/small.yaml"
    commands = (
        ("plan", at),
        ("report", at),
        ("datasets",),
        ("datasets", "--json"),
        ("datasets", "verify", "stacked_digits"),
        ("datasets", "prepare", "stacked_digits"),
        ("doctor", "--json"),
    )
    while True:
        target = rng.choice((manifest, rng.choice(files)))
        content = next(damaged_manifests) if target == manifest else arrays(rng, target.read_bytes())
        command = rng.choice(commands)
        names = [folder.name, target.name]

        def case(
            command: tuple[str, ...] = command, names: list[str] = names, train: bool = rng.random() < 0.4
        ) -> None:
            if not train:
                room.run(*command, names=names)
            else:
                fresh(room)
                room.run("run", at, "--runner", "inprocess", *ONE, names=names)

        yield replaced(room, target, content, case)


def torch_file(rng: random.Random, content: bytes) -> bytes:
    """A torch file that is damaged, holds other values, or holds a program."""
    kind = rng.randrange(6)
    if kind < 3:
        return damaged_bytes(rng, content)
    made = io.BytesIO()
    if kind == 3:
        return pickle.dumps(Trap())
    if kind == 4:
        torch.save(rng.choice((Trap(), {"state": Trap()}, {"trial_id": Trap()})), made)
    else:
        torch.save(rng.choice(NASTY[:60]), made)
    return made.getvalue()


def instruments(room: Room, rng: random.Random, patch: pytest.MonkeyPatch) -> Iterator[Case]:
    """A damaged digit classifier: it is trained again or refused."""
    expected = reference(room)
    (target,) = Workspace.at(room.root / "workspace").instruments.glob("*.pt")
    whole = target.read_bytes()
    while True:
        names = [target.name]
        yield replaced(room, target, torch_file(rng, whole), lambda names=names: run_or_refuse(room, expected, names))


def checkpoints(room: Room, rng: random.Random, patch: pytest.MonkeyPatch) -> Iterator[Case]:
    """A damaged checkpoint: training resumes from another one or restarts, and ends with the same numbers."""
    expected = reference(room)
    kept: dict[Path, bytes] = {}
    real = checkpoint.save

    def keep(path: Path, state: Any) -> None:
        real(path, state)
        if "final" not in path.name:
            kept.setdefault(path, path.read_bytes())

    with patch.context() as saving:
        saving.setattr(checkpoint, "save", keep)
        saving.setattr(stopwatch, "MIN_INTERVAL", 0.0)
        saving.setattr(stopwatch, "MAX_SHARE", float("inf"))
        run_or_refuse(room, expected, [])
    path, whole = next(iter(kept.items()))
    while True:
        content = checkpoint_file(rng, whole, room.root / "data" / "made")

        def case(content: bytes = content) -> None:
            fresh(room)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            room.run("run", "suites/small.yaml", "--runner", "inprocess", *ONE, allow=(0,))
            assert results(room) == expected, content[:200]

        yield case


def checkpoint_file(rng: random.Random, whole: bytes, scratch: Path) -> bytes:
    """A damaged checkpoint, or a valid one that holds a program or no training state."""
    kind = rng.randrange(5)
    if kind < 3:
        return damaged_bytes(rng, whole)
    if kind == 3:
        return pickle.dumps(Trap())
    checkpoint.save(
        scratch, rng.choice(({"trial_id": Trap()}, {"state": Trap()}, {"trial_id": "x"}, {"state": [1]}, {}))
    )
    content = scratch.read_bytes()
    scratch.unlink()
    return content


# --- command lines -------------------------------------------------------------------------------------

WORDS = (
    *(value if isinstance(value, str) else str(value) for value in NASTY if "\0" not in str(value) and value != LONG),
    "9" * 400,
    "a" * 300,
    "a" * 5000,
    "--",
    "-",
    "-x",
    "--json",
    "--json=1",
    "--workspace",
    "@file",
    "*",
    "Digits/GAN",
    "é" * 200,
)
PLACES = (
    "suites/small.yaml", "suites", "suites/none.yaml", "suites/small.yaml/x", "suites/loop.yaml",
    "suites/dangling.yaml", "suites/up.yaml", "suites/binary.yaml", "suites/empty.yaml", "suites/papers/own.yaml",
    "workspace", "workspace/none", "workspace/file", "workspace/file/x", "workspace/./x", "reports", "data",
    "data/none", "/dev/null", "/dev/zero", "/dev/full", "/dev/null/x", "/proc/self/mem", "/proc/none", "", " ", "\n",
    "a" * 300, "\udcff", "é\udc80", "\x1b[31m", "~nobody_at_all/x", "workspace/" + "x/" * 2500, "workspace/\udcff",
    "workspace/a b", "workspace/" + "é" * 200, "[red]", "suites/sméll.yaml",
)  # fmt: skip


def commands_of(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands, with their paths."""
    if path:
        yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands_of(inner, (*path, name))


def value_of(rng: random.Random, parameter: Any) -> str:
    """A value for an option, mostly of the right kind."""
    if parameter.name in ("suite", "workspace", "data_dir", "report_dir", "paths", "compare") or rng.random() < 0.1:
        written = parameter.name in ("workspace", "data_dir", "report_dir")
        return rng.choice([place for place in PLACES if not (written and place in ("suites", "suites/none.yaml"))])
    known = (
        "small",
        "quick",
        "paper",
        "gan",
        "ssgan",
        "own",
        "stacked_digits",
        "mnist",
        "inception",
        "1",
        "2",
        "0123",
        "Digits/GAN",
        "ray",
    )
    return rng.choice(known) if rng.random() < 0.3 else rng.choice(WORDS)


def line(rng: random.Random, path: tuple[str, ...], command: Any) -> list[str]:
    """Arguments and options of a command; some may be wrong, missing or superfluous."""
    words: list[str] = []
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            for _ in range(rng.choice((0, 1, 1, 1, 1, 1, 2))):
                words.append(
                    "suites/small.yaml"
                    if parameter.name == "suite" and rng.random() < 0.6
                    else value_of(rng, parameter)
                )
        elif parameter.name != "help" and rng.random() < 0.3:
            name = rng.choice(parameter.opts)
            many = 0 if parameter.is_flag else 2 if parameter.name == "compare" else 1
            values = [value_of(rng, parameter) for _ in range(many)]
            words += [f"{name}={values[0]}"] if len(values) == 1 and rng.random() < 0.3 else [name, *values]
    if rng.random() < 0.1:
        words.insert(rng.randrange(len(words) + 1), rng.choice(WORDS))
    if rng.random() < 0.05:
        rng.shuffle(words)
    return [*path, *words]


def top(words: list[str]) -> list[str]:
    """The folders that a command line may create: those that it names."""
    values = (word.rpartition("=")[2] if word.startswith("--") else word for word in words)
    return [value.split("/")[0] for value in values if value.split("/")[0] not in ("", ".", "..", "suites")]


def lines(room: Room, rng: random.Random, patch: pytest.MonkeyPatch) -> Iterator[Case]:
    """Command lines of every command, with values of every kind, without training and network."""
    patch.setattr(runner, "run_trial", instant)
    patch.setattr(download, "urlopen", urllib.request.urlopen)
    known = dict(commands_of(typer.main.get_command(app.app)))
    (room.root / "workspace" / "file").write_text("a file")
    suites = room.root / "suites"
    for name, content in (("binary", b"\x00\xff" * 99), ("empty", b""), ("sméll", as_yaml(SMALL))):
        (suites / f"{name}.yaml").write_bytes(content)
    for name, target in (("loop", "loop.yaml"), ("dangling", "nowhere"), ("up", "../../../../../../etc/passwd")):
        (suites / f"{name}.yaml").symlink_to(target)
    while True:
        path = rng.choice(list(known))
        words = line(rng, path, known[path])
        if path == ("run",):
            words += ["--runner", "inprocess"]
        if "--calibrate" in words or "--metrics" in words:  # these work for minutes
            continue
        places = [path.name for path in room.root.iterdir() if path.name != "suites"]
        yield lambda words=words, places=places: room.run(*words, places=[*places, *top(words)])


# --- all of them ---------------------------------------------------------------------------------------

KINDS = {
    "suites": (suites, 12, 4000),
    "shipped": (shipped, 3, 600),
    "recipes": (recipes, 5, 500),
    "papers": (papers, 4, 900),
    "records": (records, 12, 2000),
    "calibrations": (calibrations, 4, 300),
    "prepared": (prepared, 8, 800),
    "instruments": (instruments, 3, 300),
    "checkpoints": (checkpoints, 4, 400),
    "lines": (lines, 20, 3000),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_of_each_kind(kind: str, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    cases, few, _ = KINDS[kind]
    found = collect_failures(itertools.islice(cases(room, random.Random(kind), monkeypatch), few))
    assert not found, "\n\n".join(found)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_each_kind(kind: str, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    cases, _, many = KINDS[kind]
    seed, share = os.environ.get("FUZZ_SEED", "0"), float(os.environ.get("FUZZ_SHARE", "1"))
    mutated = cases(room, random.Random(f"{kind} {seed}"), monkeypatch)
    found = collect_failures(itertools.islice(mutated, round(share * many)))
    assert not found, "\n\n".join(found)
