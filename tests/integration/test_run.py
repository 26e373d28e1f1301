"""Runs from end to end in this process: from a suite to records, report and exit code."""

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

from baselines.methods.gan import GAN
from benchmark.cli import app
from benchmark.core.errors import UserError
from benchmark.execution.runners import InProcessRunner
from benchmark.execution.suite_run import SuiteRun
from benchmark.store.records import TrialRecord
from benchmark.store.trial_claims import TrialClaims
from benchmark.store.workspace import Workspace
from benchmark.trials import make_jobs
from tests.conftest import SMALL
from tests.support.runs import suite_run

pytestmark = pytest.mark.usefixtures("untrained_digits")


@pytest.fixture
def make_run(tmp_path, small_suite):
    return lambda path=None, **options: suite_run(path or small_suite(), tmp_path, **options)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def train(run: SuiteRun) -> dict[str, TrialRecord]:
    return run.run("inprocess", run.plan())


def test_a_run_trains_every_trial_and_a_second_one_none(make_run):
    first = make_run()
    records = train(first)
    assert len(records) == 4
    assert {record.status for record in records.values()} == {"finished"}
    assert all([entry.step for entry in record.history] == [3, 6] for record in records.values())
    before = snapshot(first.workspace.root)
    assert not first.plan().todo
    assert train(first) == records
    assert snapshot(first.workspace.root) == before


def test_a_run_without_anything_to_train_clears_the_claims_of_a_dead_one(make_run):
    first = make_run()
    train(first)
    dead = replace(TrialClaims(first.workspace.trial_claims).run, name="dead", born="1")
    first.workspace.trial_claims.mkdir()
    (first.workspace.trial_claims / "dead.pulse").write_text(json.dumps(asdict(dead)))
    train(first)
    assert not first.workspace.trial_claims.exists()


def test_vmapped_seeds_have_a_record_each(make_run, small_suite, monkeypatch, tmp_path):
    alone = train(make_run())
    monkeypatch.setattr(
        make_jobs, "seeds_per_process", lambda resources, gpus: resources.vmap_seeds
    )  # as if there were a GPU
    both = replace(make_run(small_suite(resources={"vmap_seeds": 2})), workspace=Workspace.at(tmp_path / "both"))
    together = train(both)
    assert list(together) == list(alone), "resources are not part of a trial's identity"
    assert {record.environment["together"] for record in together.values()} == {2}
    for trial_id, record in together.items():
        assert record.history[-1].losses == pytest.approx(alone[trial_id].history[-1].losses, rel=1e-3)
    assert not both.plan().todo


def test_every_evaluation_writes_a_sample_grid_of_the_same_latents(make_run):
    run = make_run(seeds=1)
    for trial_id, record in train(run).items():
        folder = run.workspace.samples / trial_id
        assert sorted(path.name for path in folder.iterdir()) == ["step-00000003.png", "step-00000006.png"]
        with Image.open(folder / "step-00000006.png") as last, Image.open(BytesIO(record.samples)) as whole:
            width, height = whole.width // 8, whole.height // 8
            assert width == 3 * height, "three digits side by side"
            shape = last.width, last.height // 4
            same = whole.crop((0, 0, 4 * width, height)).resize(shape, Image.Resampling.NEAREST)
            assert last.crop((0, 0, *shape)).tobytes() == same.tobytes()
        assert (folder / "step-00000003.png").read_bytes() != (folder / "step-00000006.png").read_bytes()


@pytest.mark.slow
def test_a_run_with_a_report_mirrors_both(make_run, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.setattr(
        "benchmark.execution.suite_run.make_runner", lambda *_: InProcessRunner()
    )  # Ray would take half a minute
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = make_run(seeds=1)
    records, page = run.run_and_report("ray", run.plan())
    assert page.is_file()
    client = MlflowClient(f"sqlite:///{run.workspace.mlflow / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name(run.suite.name).experiment_id])
    assert {run.data.tags.get("trial_id", run.data.tags.get("report")) for run in runs} == {*records, "quick"}
    assert all("mlflow.loggedImages" in run.data.tags for run in runs if "trial_id" in run.data.tags)


def test_a_trial_that_is_trained_twice_is_bit_identical(make_run, tmp_path):
    once = train(make_run())
    for path in (tmp_path / "ws" / "results").iterdir():
        path.unlink()
    again = train(make_run())
    assert {i: r.history for i, r in once.items()} == {i: r.history for i, r in again.items()}
    assert {i: r.samples_png for i, r in once.items()} == {i: r.samples_png for i, r in again.items()}


def test_only_missing_trials_are_trained(make_run, small_suite):
    train(make_run())
    rows = SMALL["tables"][0]["rows"] | {"MSGAN": {"method": "msgan"}}
    grown = make_run(small_suite(tables=[{"title": "Digits", "rows": rows}]))
    assert {spec.method for spec in grown.plan().todo.values()} == {"msgan"}
    more_seeds = make_run(small_suite(), seeds=3)
    assert [spec.seed for spec in more_seeds.plan().todo.values()] == [2, 2]


def test_a_killed_trial_resumes_from_its_checkpoint_and_is_bit_identical(make_run, monkeypatch, tmp_path):
    reference = train(make_run())
    sheets = snapshot(tmp_path / "ws" / "samples")
    for path in (tmp_path / "ws" / "results").iterdir():
        path.unlink()
    monkeypatch.setattr("benchmark.trials.stopwatch.MIN_INTERVAL", 0.0)
    monkeypatch.setattr("benchmark.trials.stopwatch.MAX_SHARE", math.inf)
    real_loss, calls = GAN.loss, {"left": 9}  # the fifth step of the first trial

    def killed(self, player, turn):
        calls["left"] -= 1
        if calls["left"] < 0:
            raise KeyboardInterrupt
        return real_loss(self, player, turn)

    monkeypatch.setattr(GAN, "loss", killed)
    interrupted = make_run()
    with pytest.raises(KeyboardInterrupt):
        train(interrupted)
    assert not interrupted.records()
    plan = interrupted.plan()
    assert [plan.state(trial_id) for trial_id in plan.todo] == ["begun", "missing", "missing", "missing"]
    monkeypatch.setattr(GAN, "loss", real_loss)
    resumed = train(make_run())
    assert {i: r.history for i, r in resumed.items()} == {i: r.history for i, r in reference.items()}
    assert snapshot(interrupted.workspace.samples) == sheets
    assert {i: r.samples_png for i, r in resumed.items()} == {i: r.samples_png for i, r in reference.items()}


def test_a_damaged_checkpoint_restarts_the_trial(make_run, tmp_path):
    run = make_run()
    trial_id = next(iter(run.suite.specs))
    folder = run.workspace.checkpoints / trial_id
    folder.mkdir(parents=True)
    (folder / "00000001.ckpt").write_bytes(b"half a file")
    record = train(run)[trial_id]
    assert record.status == "finished"
    assert [event.what for event in record.events] == ["a damaged checkpoint was skipped"]


def test_a_trial_that_raises_is_a_failed_row_and_the_next_run_retries_it(make_run, monkeypatch):
    real_loss = GAN.loss

    def broken(self, player, turn):
        if type(self) is GAN:
            raise RuntimeError("no | luck\nat all")
        return real_loss(self, player, turn)

    monkeypatch.setattr(GAN, "loss", broken)
    run = make_run()
    records = train(run)
    failed = [record for record in records.values() if record.status == "failed"]
    assert {record.spec.method for record in failed} == {"gan"}
    assert all("RuntimeError: no | luck" in record.error for record in failed)
    page = run.render(records).read_text()
    assert "luck" in page
    monkeypatch.setattr(GAN, "loss", real_loss)
    assert {spec.method for spec in run.plan().todo.values()} == {"gan"}
    assert {record.status for record in train(run).values()} == {"finished"}


def test_a_non_finite_loss_is_a_diverged_result(make_run, monkeypatch):
    real_loss = GAN.loss

    def exploding(self, player, turn):
        terms = real_loss(self, player, turn)
        return {name: term * float("nan") for name, term in terms.items()} if turn.progress > 0.5 else terms

    monkeypatch.setattr(GAN, "loss", exploding)
    run = make_run()
    records = train(run)
    assert {record.status for record in records.values()} == {"diverged"}
    assert all([entry.step for entry in record.history] == [3] for record in records.values())  # the last good one
    assert all("not finite by step 6" in record.error for record in records.values())
    assert not run.plan().todo  # a result, not an accident


def test_a_damaged_record_is_named(make_run):
    run = make_run()
    records = train(run)
    path = run.workspace.results / f"{next(iter(records))}.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(UserError, match=f"{path.name}: damaged record"):
        run.plan()


def test_a_record_under_the_name_of_another_trial_is_refused(make_run):
    run = make_run()
    one, other, *_ = train(run)
    results = run.workspace.results
    (results / f"{one}.json").write_bytes((results / f"{other}.json").read_bytes())
    with pytest.raises(UserError, match="another trial"):
        run.plan()


def command(*arguments: str, code: int, cwd: Path | None = None) -> tuple[str, str]:
    """Run the command line in a process of its own. Returns its output and its error output."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", *arguments], capture_output=True, text=True, cwd=cwd, timeout=120
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


def test_bad_input_exits_2_and_changes_nothing(tmp_path, small_suite):
    path = small_suite(defaults={**SMALL["defaults"], "steps": -3})
    before = snapshot(tmp_path)
    _, output = command("run", str(path), "--workspace", str(tmp_path / "ws"), code=2, cwd=tmp_path)
    assert "defaults.steps: is -3 but must be greater than 0" in output
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "ws").exists()


def test_missing_data_is_reported_before_the_run_starts(tmp_path):
    suite = Path("suites/neurips2019.yaml").absolute()
    _, output = command("run", str(suite), "--workspace", "ws", "--data-dir", "none", code=2, cwd=tmp_path)
    lines = [" ".join(line.split()) for line in output.splitlines()]
    places = f"--data-dir {tmp_path / 'none'} --workspace {tmp_path / 'ws'}"
    fetched = "dataset cifar10, dataset stl10, dataset cifar100, dataset stacked_mnist, weights inception"
    assert lines[lines.index(fetched) + 1] == f"python -m benchmark datasets fetch --for {suite} {places}"
    assert lines[lines.index("dataset celeba") + 1] == f"python -m benchmark datasets import celeba PATH {places}"
    assert len(lines) < 15, "one command fetches all that can be fetched"
    assert not list(tmp_path.iterdir())


def main(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    """Run the command line in this process. Returns exit code, output and error output."""
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
    code, _, output = main(monkeypatch, capsys, "plan", str(path))
    assert code == 2
    assert expected in output
    assert "s.yaml" in output


def test_an_unwritable_workspace_is_refused(monkeypatch, capsys, tmp_path, small_suite):
    (tmp_path / "file").write_text("not a folder")
    arguments = ("run", str(small_suite()), "--runner", "inprocess", "--workspace", str(tmp_path / "file" / "ws"))
    code, _, output = main(monkeypatch, capsys, *arguments)
    assert code == 2
    assert "cannot be written to" in output


def test_an_unwritable_report_folder_is_refused_before_training(monkeypatch, capsys, tmp_path, small_suite):
    (tmp_path / "file").write_text("not a folder")
    workspace = tmp_path / "ws"
    places = ("--workspace", str(workspace), "--report-dir", str(tmp_path / "file" / "r"))
    code, _, output = main(monkeypatch, capsys, "run", str(small_suite()), "--runner", "inprocess", *places)
    assert code == 2
    assert "--report-dir" in output
    assert not workspace.exists()


def test_run_then_plan_and_report(monkeypatch, capsys, tmp_path, small_suite):
    places = ("--workspace", str(tmp_path / "ws"))
    path = str(small_suite())
    report = ("--report-dir", str(tmp_path / "report"))
    code, output, _ = main(monkeypatch, capsys, "run", path, *places, *report, "--runner", "inprocess")
    assert code == 0
    assert "leaderboard.md" in output
    assert (tmp_path / "report" / "results.csv").is_file()
    code, output, _ = main(monkeypatch, capsys, "plan", path, *places, "--json")
    plan = json.loads(output)
    assert (code, plan["trials"], plan["todo"], plan["estimated_seconds"]) == (0, 4, 0, 0.0)
    code, output, _ = main(monkeypatch, capsys, "plan", path, *places, "--json", "--seeds", "4")
    grown = json.loads(output)
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
    code, _, output = main(monkeypatch, capsys, "run", str(small_suite()), *places, "--runner", "inprocess")
    assert code == 1
    assert "4 of 4 trials failed" in output


def test_a_failing_trial_is_retried_as_often_as_the_suite_says(make_run, small_suite, monkeypatch):
    started = []

    def broken(self, player, turn):
        started.append(self)
        raise RuntimeError("no luck")

    monkeypatch.setattr(GAN, "loss", broken)
    rows = {"GAN": {"method": "gan"}}
    suite = small_suite(seeds=[0], resources={"retries": 2}, tables=[{"title": "Digits", "rows": rows}])
    (record,) = train(make_run(suite)).values()
    assert len(started) == 3
    assert record.status == "failed"
    assert record.error.endswith("(3 attempts)")
    assert len(record.attempts) == 2


def test_an_attempt_beyond_the_time_limit_ends_and_the_next_one_resumes(make_run, small_suite, monkeypatch):
    rows = {"GAN": {"method": "gan"}}
    tables = [{"title": "Digits", "rows": rows}]
    reference = train(make_run(small_suite("calm", seeds=[0], tables=tables)))
    real_loss = GAN.loss

    def slow(self, player, turn):
        time.sleep(0.02)
        return real_loss(self, player, turn)

    monkeypatch.setattr(GAN, "loss", slow)
    run = make_run(small_suite(seeds=[0], tables=tables, resources={"retries": 50, "time_limit_hours": 0.1 / 3600}))
    for path in run.workspace.results.iterdir():
        path.unlink()
    for path in run.workspace.checkpoints.rglob("*.pt"):
        path.unlink()
    (record,) = train(run).values()
    assert record.status == "finished"
    assert record.attempts
    assert all("time limit" in reason for reason in record.attempts)
    assert record.history == reference[record.trial_id].history


@pytest.mark.parametrize("option", [("--address", "auto"), ("--storage", "store")])
def test_a_cluster_needs_ray(monkeypatch, capsys, tmp_path, small_suite, option):
    monkeypatch.chdir(tmp_path)
    path = str(small_suite())
    code, _, output = main(monkeypatch, capsys, "run", path, "--runner", "inprocess", *option)
    assert code == 2
    assert "without --address and --storage" in output


def test_ctrl_c_says_how_to_resume(monkeypatch, capsys, tmp_path, small_suite):
    def interrupted(self, player, turn):
        raise KeyboardInterrupt

    monkeypatch.setattr(GAN, "loss", interrupted)
    places = ("--workspace", str(tmp_path / "ws"), "--report-dir", str(tmp_path / "report"))
    code, _, output = main(monkeypatch, capsys, "run", str(small_suite()), *places, "--runner", "inprocess")
    assert code == 130
    assert "the same command continues" in output


@pytest.mark.parametrize("name", ["methods", "datasets", "doctor"])
def test_lists_as_text_and_json(monkeypatch, capsys, name):
    code, output, _ = main(monkeypatch, capsys, name)
    assert code == 0
    assert output
    code, output, _ = main(monkeypatch, capsys, name, "--json")
    assert code == 0
    assert json.loads(output)


def test_doctor_says_what_is_missing_for_which_suite(monkeypatch, capsys, tmp_path):
    _, output, _ = main(monkeypatch, capsys, "doctor", "--json", "--data-dir", str(tmp_path))
    suites = json.loads(output)["suites"]
    assert suites["quickstart"]["ready"]
    missing = suites["neurips2019"]["missing"].splitlines()
    assert not suites["neurips2019"]["ready"]
    fetched = "dataset cifar10, dataset stl10, dataset cifar100, dataset stacked_mnist, weights inception"
    command = f"python -m benchmark datasets fetch --for suites/neurips2019.yaml --data-dir {tmp_path}"
    assert f"{fetched}: {command}" in missing
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
from benchmark.store.records import TrialRecord
from benchmark.store.workspace import Workspace
run = SuiteRun(
    suite=load_suite(Path({str(suite)!r})),
    workspace=Workspace.at(Path({str(tmp_path / "ws")!r})),
    data_dir=Path("."),
    report_dir=Path({str(tmp_path / "report")!r}),
    console=Console(quiet=True),
)
import benchmark.evaluation.extractors.digits as digits
digits.EPOCHS[8] = 1
run.render(run.run("inprocess", run.plan()))
print(sorted({{"ray", "mlflow"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_limits_of_a_suite_reach_every_job(make_run, small_suite):
    run = make_run(
        small_suite(resources={"cpus": 2, "checkpoint_seconds": 2.5, "time_limit_hours": 0.5, "graphs": True})
    )
    jobs = run.prepare_jobs(run.plan().todo.values())
    assert {(job.cpus, job.checkpoint_seconds, job.time_limit, job.graphs) for job in jobs} == {(2, 2.5, 1800.0, True)}
