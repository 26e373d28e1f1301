"""The whole way, in this process: suite in, records, report and exit code out."""

import json
import math
import subprocess
import sys
import time
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from baselines.methods.gan import GAN
from benchmark.cli import app
from benchmark.config.suite import load_suite
from benchmark.core.errors import UserError
from benchmark.evaluation.extractors.digits import Digits
from benchmark.execution.runners import InProcessRunner
from benchmark.execution.suite_run import SuiteRun
from benchmark.store.claims import Claims
from benchmark.store.workspace import Workspace
from benchmark.trials import make_jobs
from tests.conftest import SMALL


@pytest.fixture(scope="session")
def instrument(tmp_path_factory):
    """An untrained digit classifier, for tests that need an instrument and not its accuracy."""
    import torch

    from benchmark.evaluation.extractors.digits import DigitClassifier

    path = tmp_path_factory.mktemp("instrument") / "classifier.pt"
    torch.manual_seed(0)
    torch.save({"state": DigitClassifier(8).state_dict(), "accuracy": 0.5, "size": 8}, path)
    return path


@pytest.fixture(autouse=True)
def _quick_instrument(monkeypatch, instrument):
    monkeypatch.setattr(Digits, "prepare", classmethod(lambda *_: instrument))


@pytest.fixture
def session(tmp_path, small_suite):
    def make(path: Path | None = None, **options) -> SuiteRun:
        suite = load_suite(path or small_suite(), **options)
        return SuiteRun(
            suite=suite,
            workspace=Workspace.at(tmp_path / "ws"),
            data_dir=tmp_path,
            report_dir=tmp_path / "report",
            console=Console(quiet=True),
        )

    return make


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def go(session: SuiteRun):
    return session.run("inprocess", session.plan())


def test_a_run_trains_every_trial_and_a_second_one_none(session):
    first = session()
    records = go(first)
    assert len(records) == 4
    assert {record.status for record in records.values()} == {"finished"}
    assert all([entry.step for entry in record.history] == [3, 6] for record in records.values())
    before = snapshot(first.workspace.root)
    assert not first.plan().todo
    assert go(first) == records
    assert snapshot(first.workspace.root) == before


def test_a_run_without_anything_to_train_clears_the_claims_of_a_dead_one(session):
    first = session()
    go(first)
    dead = replace(Claims(first.workspace.claims).run, name="dead", born="1")
    first.workspace.claims.mkdir()
    (first.workspace.claims / "dead.pulse").write_text(json.dumps(asdict(dead)))
    go(first)
    assert not first.workspace.claims.exists()


def test_seeds_can_be_trained_as_one_and_each_has_its_record(session, small_suite, monkeypatch, tmp_path):
    alone = go(session())
    monkeypatch.setattr(
        make_jobs, "seeds_per_process", lambda resources, gpus: resources.vmap_seeds
    )  # as if there were a GPU
    both = replace(session(small_suite(resources={"vmap_seeds": 2})), workspace=Workspace.at(tmp_path / "both"))
    together = go(both)
    assert list(together) == list(alone), "how trials are run is no part of what they are"
    assert {record.environment["together"] for record in together.values()} == {2}
    for trial_id, record in together.items():
        assert record.history[-1].losses == pytest.approx(alone[trial_id].history[-1].losses, rel=1e-3)
    assert not both.plan().todo


def test_every_measurement_leaves_a_sheet_of_the_same_latents(session):
    made = session(seeds=1)
    for trial_id, record in go(made).items():
        folder = made.workspace.samples / trial_id
        assert sorted(path.name for path in folder.iterdir()) == ["step-00000003.png", "step-00000006.png"]
        with Image.open(folder / "step-00000006.png") as last, Image.open(BytesIO(record.samples)) as whole:
            side = last.width // 4
            assert last.size == (4 * side, 4 * side)
            assert last.crop((0, 0, 4 * side, side)).tobytes() == whole.crop((0, 0, 4 * side, side)).tobytes()
        assert (folder / "step-00000003.png").read_bytes() != (folder / "step-00000006.png").read_bytes()


@pytest.mark.slow
def test_a_run_with_a_report_mirrors_both(session, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.setattr(
        "benchmark.execution.suite_run.make_runner", lambda *_: InProcessRunner()
    )  # Ray would take half a minute
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made = session(seeds=1)
    records, page = made.run_and_report("ray", made.plan())
    assert page.is_file()
    client = MlflowClient(f"sqlite:///{made.workspace.mlflow / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name(made.suite.name).experiment_id])
    assert {run.data.tags.get("trial_id", run.data.tags.get("report")) for run in runs} == {*records, "quick"}
    assert all("mlflow.loggedImages" in run.data.tags for run in runs if "trial_id" in run.data.tags)


def test_the_same_trial_gives_the_same_numbers_to_the_bit(session, tmp_path):
    once = go(session())
    for path in (tmp_path / "ws" / "results").iterdir():
        path.unlink()
    again = go(session())
    assert {i: r.history for i, r in once.items()} == {i: r.history for i, r in again.items()}
    assert {i: r.samples_png for i, r in once.items()} == {i: r.samples_png for i, r in again.items()}


def test_only_what_is_new_is_trained(session, small_suite):
    go(session())
    rows = SMALL["tables"][0]["rows"] | {"MSGAN": {"method": "msgan"}}
    grown = session(small_suite(tables=[{"title": "Digits", "rows": rows}]))
    assert {spec.method for spec in grown.plan().todo.values()} == {"msgan"}
    more_seeds = session(small_suite(), seeds=3)
    assert [spec.seed for spec in more_seeds.plan().todo.values()] == [2, 2]


def test_a_killed_trial_goes_on_from_its_checkpoint_and_ends_the_same(session, monkeypatch, tmp_path):
    undisturbed = go(session())
    sheets = snapshot(tmp_path / "ws" / "samples")
    for path in (tmp_path / "ws" / "results").iterdir():
        path.unlink()
    monkeypatch.setattr("benchmark.trials.stopwatch.SECONDS", 0.0)
    monkeypatch.setattr("benchmark.trials.stopwatch.SHARE", math.inf)
    real_loss, calls = GAN.loss, {"left": 9}  # the fifth step of the first trial

    def killed(self, player, turn):
        calls["left"] -= 1
        if calls["left"] < 0:
            raise KeyboardInterrupt
        return real_loss(self, player, turn)

    monkeypatch.setattr(GAN, "loss", killed)
    interrupted = session()
    with pytest.raises(KeyboardInterrupt):
        go(interrupted)
    assert not interrupted.records()
    plan = interrupted.plan()
    assert [plan.state(trial_id) for trial_id in plan.todo] == ["begun", "missing", "missing", "missing"]
    monkeypatch.setattr(GAN, "loss", real_loss)
    resumed = go(session())
    assert {i: r.history for i, r in resumed.items()} == {i: r.history for i, r in undisturbed.items()}
    assert snapshot(interrupted.workspace.samples) == sheets
    assert {i: r.samples_png for i, r in resumed.items()} == {i: r.samples_png for i, r in undisturbed.items()}


def test_a_damaged_checkpoint_starts_the_trial_anew(session, tmp_path):
    made = session()
    trial_id = next(iter(made.suite.specs))
    folder = made.workspace.checkpoints / trial_id
    folder.mkdir(parents=True)
    (folder / "00000001.ckpt").write_bytes(b"half a file")
    record = go(made)[trial_id]
    assert record.status == "finished"
    assert [event.what for event in record.events] == ["a damaged checkpoint was passed over"]


def test_a_trial_that_raises_is_a_failed_row_and_is_tried_again(session, monkeypatch):
    real_loss = GAN.loss

    def broken(self, player, turn):
        if type(self) is GAN:
            raise RuntimeError("no | luck\nat all")
        return real_loss(self, player, turn)

    monkeypatch.setattr(GAN, "loss", broken)
    made = session()
    records = go(made)
    failed = [record for record in records.values() if record.status == "failed"]
    assert {record.spec.method for record in failed} == {"gan"}
    assert all("RuntimeError: no | luck" in record.error for record in failed)
    page = made.render(records).read_text()
    assert "luck" in page
    monkeypatch.setattr(GAN, "loss", real_loss)
    assert {spec.method for spec in made.plan().todo.values()} == {"gan"}
    assert {record.status for record in go(made).values()} == {"finished"}


def test_a_loss_that_is_not_finite_is_a_diverged_result(session, monkeypatch):
    real_loss = GAN.loss

    def exploding(self, player, turn):
        terms = real_loss(self, player, turn)
        return {name: term * float("nan") for name, term in terms.items()} if turn.progress > 0.5 else terms

    monkeypatch.setattr(GAN, "loss", exploding)
    made = session()
    records = go(made)
    assert {record.status for record in records.values()} == {"diverged"}
    assert all([entry.step for entry in record.history] == [3] for record in records.values())  # the last good one
    assert all("not finite by step 6" in record.error for record in records.values())
    assert not made.plan().todo  # a result, not an accident


def test_a_damaged_record_is_named(session):
    made = session()
    records = go(made)
    path = made.workspace.results / f"{next(iter(records))}.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(UserError, match=f"{path.name}: damaged record"):
        made.plan()


def test_a_record_under_a_wrong_name_is_not_believed(session):
    made = session()
    one, other, *_ = go(made)
    results = made.workspace.results
    (results / f"{one}.json").write_bytes((results / f"{other}.json").read_bytes())
    with pytest.raises(UserError, match="another trial"):
        made.plan()


def command(*arguments: str, code: int, cwd: Path | None = None) -> tuple[str, str]:
    """The command line as a user starts it: real process, real exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", *arguments], capture_output=True, text=True, cwd=cwd, timeout=120
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


def test_bad_input_exits_2_and_changes_nothing(tmp_path, small_suite):
    path = small_suite(defaults={**SMALL["defaults"], "steps": -3})
    before = snapshot(tmp_path)
    _, said = command("run", str(path), "--workspace", str(tmp_path / "ws"), code=2, cwd=tmp_path)
    assert "defaults.steps: is -3 but must be greater than 0" in said
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "ws").exists()


def test_missing_data_is_told_before_anything_is_started(tmp_path):
    suite = Path("suites/neurips2019.yaml").absolute()
    _, said = command("run", str(suite), "--workspace", "ws", "--data-dir", "none", code=2, cwd=tmp_path)
    lines = [" ".join(line.split()) for line in said.splitlines()]
    places = f"--data-dir {tmp_path / 'none'} --workspace {tmp_path / 'ws'}"
    assert f"dataset stacked_mnist python -m benchmark datasets fetch stacked_mnist {places}" in lines
    assert f"dataset celeba python -m benchmark datasets import celeba PATH {places}" in lines
    assert f"weights inception python -m benchmark datasets fetch inception {places}" in lines
    assert len(lines) < 15, "several missing things are a line each"
    assert not list(tmp_path.iterdir())


def main(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    """The command line in this process: fast, for everything that does not need a process of its own."""
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    with pytest.raises(SystemExit) as ended:
        app.main()
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


@pytest.mark.parametrize(
    "content, expected",
    [(None, "no such file"), ("", "the file is empty"), ("[1, 2]", "must hold keys"), ("a: [", "not valid YAML")],
)
def test_unreadable_suites(monkeypatch, capsys, tmp_path, content, expected):
    path = tmp_path / "s.yaml"
    if content is not None:
        path.write_text(content)
    code, _, said = main(monkeypatch, capsys, "plan", str(path))
    assert code == 2
    assert expected in said
    assert "s.yaml" in said


def test_an_unwritable_workspace_is_refused(monkeypatch, capsys, tmp_path, small_suite):
    (tmp_path / "file").write_text("not a folder")
    arguments = ("run", str(small_suite()), "--runner", "inprocess", "--workspace", str(tmp_path / "file" / "ws"))
    code, _, said = main(monkeypatch, capsys, *arguments)
    assert code == 2
    assert "cannot be written to" in said


def test_an_unwritable_report_folder_is_refused_before_training(monkeypatch, capsys, tmp_path, small_suite):
    (tmp_path / "file").write_text("not a folder")
    workspace = tmp_path / "ws"
    places = ("--workspace", str(workspace), "--report-dir", str(tmp_path / "file" / "r"))
    code, _, said = main(monkeypatch, capsys, "run", str(small_suite()), "--runner", "inprocess", *places)
    assert code == 2
    assert "--report-dir" in said
    assert not workspace.exists()


def test_run_then_plan_and_report(monkeypatch, capsys, tmp_path, small_suite):
    places = ("--workspace", str(tmp_path / "ws"))
    path = str(small_suite())
    report = ("--report-dir", str(tmp_path / "report"))
    code, said, _ = main(monkeypatch, capsys, "run", path, *places, *report, "--runner", "inprocess")
    assert code == 0
    assert "leaderboard.md" in said
    assert (tmp_path / "report" / "results.csv").is_file()
    code, said, _ = main(monkeypatch, capsys, "plan", path, *places, "--json")
    plan = json.loads(said)
    assert (code, plan["trials"], plan["todo"], plan["estimated_seconds"]) == (0, 4, 0, 0.0)
    code, said, _ = main(monkeypatch, capsys, "plan", path, *places, "--json", "--seeds", "4")
    grown = json.loads(said)
    assert grown["todo"] == 4
    assert grown["estimated_seconds"] > 0
    before = snapshot(tmp_path / "report")
    code, _, _ = main(monkeypatch, capsys, "report", path, *places, *report)
    assert code == 0
    assert snapshot(tmp_path / "report") == before


def test_a_failed_trial_makes_the_exit_code_1(monkeypatch, capsys, tmp_path, small_suite):
    def broken(self, player, turn):
        raise RuntimeError("no luck")

    monkeypatch.setattr(GAN, "loss", broken)
    places = ("--workspace", str(tmp_path / "ws"), "--report-dir", str(tmp_path / "report"))
    code, _, said = main(monkeypatch, capsys, "run", str(small_suite()), *places, "--runner", "inprocess")
    assert code == 1
    assert "4 of 4 trials failed" in said


def test_a_failing_trial_is_tried_as_often_as_the_suite_says_and_then_told(session, small_suite, monkeypatch):
    begun = []

    def broken(self, player, turn):
        begun.append(self)
        raise RuntimeError("no luck")

    monkeypatch.setattr(GAN, "loss", broken)
    rows = {"GAN": {"method": "gan"}}
    suite = small_suite(seeds=[0], resources={"retries": 2}, tables=[{"title": "Digits", "rows": rows}])
    (record,) = go(session(suite)).values()
    assert len(begun) == 3
    assert record.status == "failed"
    assert record.error.endswith("(3 attempts)")
    assert len(record.attempts) == 2


def test_an_attempt_that_takes_too_long_is_ended_and_the_next_one_goes_on(session, small_suite, monkeypatch):
    rows = {"GAN": {"method": "gan"}}
    tables = [{"title": "Digits", "rows": rows}]
    undisturbed = go(session(small_suite("calm", seeds=[0], tables=tables)))
    real_loss = GAN.loss

    def slow(self, player, turn):
        time.sleep(0.02)
        return real_loss(self, player, turn)

    monkeypatch.setattr(GAN, "loss", slow)
    made = session(small_suite(seeds=[0], tables=tables, resources={"retries": 50, "time_limit_hours": 0.1 / 3600}))
    for path in made.workspace.results.iterdir():
        path.unlink()
    for path in made.workspace.checkpoints.rglob("*.pt"):
        path.unlink()
    (record,) = go(made).values()
    assert record.status == "finished"
    assert record.attempts
    assert all("time limit" in reason for reason in record.attempts)
    assert record.history == undisturbed[record.trial_id].history


@pytest.mark.parametrize("option", [("--address", "auto"), ("--storage", "store")])
def test_a_cluster_needs_ray(monkeypatch, capsys, tmp_path, small_suite, option):
    monkeypatch.chdir(tmp_path)
    path = str(small_suite())
    code, _, said = main(monkeypatch, capsys, "run", path, "--runner", "inprocess", *option)
    assert code == 2
    assert "without --address and --storage" in said


def test_ctrl_c_says_how_to_go_on(monkeypatch, capsys, tmp_path, small_suite):
    def interrupted(self, player, turn):
        raise KeyboardInterrupt

    monkeypatch.setattr(GAN, "loss", interrupted)
    places = ("--workspace", str(tmp_path / "ws"), "--report-dir", str(tmp_path / "report"))
    code, _, said = main(monkeypatch, capsys, "run", str(small_suite()), *places, "--runner", "inprocess")
    assert code == 130
    assert "the same command continues" in said


@pytest.mark.parametrize("name", ["methods", "datasets", "doctor"])
def test_lists_as_text_and_json(monkeypatch, capsys, name):
    code, said, _ = main(monkeypatch, capsys, name)
    assert code == 0
    assert said
    code, said, _ = main(monkeypatch, capsys, name, "--json")
    assert code == 0
    assert json.loads(said)


def test_doctor_says_what_is_missing_for_which_suite(monkeypatch, capsys, tmp_path):
    _, said, _ = main(monkeypatch, capsys, "doctor", "--json", "--data-dir", str(tmp_path))
    suites = json.loads(said)["suites"]
    assert suites["quickstart"]["ready"]
    missing = suites["neurips2019"]["missing"].splitlines()
    command = "python -m benchmark datasets fetch"
    assert not suites["neurips2019"]["ready"]
    assert f"dataset stacked_mnist: {command} stacked_mnist --data-dir {tmp_path}" in missing
    assert f"weights inception: {command} inception --data-dir {tmp_path}" in missing
    folder = f"put your images into {tmp_path / 'folder'}, then python -m benchmark datasets prepare folder_32"
    assert suites["own_images"]["missing"].startswith(f"dataset folder_32: {folder} ")
    assert not any("vgg16" in line for line in missing), "nothing there measures precision and recall"


def test_the_in_process_runner_imports_neither_ray_nor_mlflow(tmp_path, small_suite):
    suite = small_suite(seeds=[0])
    code = f"""
import sys
from pathlib import Path
from rich.console import Console
from benchmark.execution.suite_run import SuiteRun
from benchmark.config.suite import load_suite
from benchmark.store.workspace import Workspace
made = SuiteRun(
    suite=load_suite(Path({str(suite)!r})),
    workspace=Workspace.at(Path({str(tmp_path / "ws")!r})),
    data_dir=Path("."),
    report_dir=Path({str(tmp_path / "report")!r}),
    console=Console(quiet=True),
)
import benchmark.evaluation.extractors.digits as digits
digits.EPOCHS[8] = 1
made.render(made.run("inprocess", made.plan()))
print(sorted({{"ray", "mlflow"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_limits_of_a_suite_reach_every_job(session, small_suite):
    made = session(
        small_suite(resources={"cpus": 2, "checkpoint_seconds": 2.5, "time_limit_hours": 0.5, "cuda_graphs": True})
    )
    jobs = made.prepare_jobs(made.plan().todo.values())
    assert {(job.cpus, job.checkpoint_seconds, job.time_limit, job.cuda_graphs) for job in jobs} == {
        (2, 2.5, 1800.0, True)
    }
