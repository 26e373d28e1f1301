"""The command that `run` prints, and MLflow's pages in headless Chromium."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from benchmark.core.files import write_atomically
from benchmark.store.workspace import sample_grid_path
from benchmark.tracking.mirror import MLflowMirror
from tests.support.servers import Server
from tests.unit.tracking.test_mirror import Room

pytestmark = pytest.mark.slow

BROWSER = shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-backtestbed-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1600,2400",
    "--dump-dom",
]

BUDGETS = (20, 60, 180)  # seconds of virtual time; a page may need more than one try

Page = Callable[..., str]


def runs_of(room: Room) -> list[Any]:
    experiment = room.client.get_experiment_by_name("digits")
    return list(room.client.search_runs([experiment.experiment_id]))


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    return Room(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def mirror(room: Room) -> MLflowMirror:
    if BROWSER is None:
        pytest.skip("no chromium on PATH (on Debian: apt-get install chromium)")
    record = room.records[0]
    for entry in record.history:
        write_atomically(sample_grid_path(room.workspace.samples, record.trial_id, entry.step), record.samples)
    folder = room.workspace.root / "report"
    write_atomically(folder / "leaderboard.md", b"# The leaderboard")
    write_atomically(folder / "results.csv", b"a\n")
    mirror = MLflowMirror(room.suite, room.workspace)
    mirror.sync(room.records)
    mirror.submit_report(folder)
    mirror.close(timeout=None)
    assert mirror.last_error is None
    return mirror


@pytest.fixture(scope="module")
def server(mirror: MLflowMirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of the printed command; its process group is killed afterwards."""
    folder = tmp_path_factory.mktemp("server")
    server = Server(mirror.ui_command, folder)
    try:
        server.start()
        yield server
        assert [path.name for path in folder.iterdir()] == ["log"]  # the command leaves no litter
    finally:
        server.kill()


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A browser profile for all pages, so that shared scripts are compiled once."""
    return tmp_path_factory.mktemp("profile")


@pytest.fixture
def page(server: Server, profile: Path) -> Page:
    """Renders the page at a URL fragment, and waits until it contains all `wanted` texts."""

    def rendered(fragment: str, *wanted: str) -> str:
        assert BROWSER is not None
        command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", f"{server.address}/{fragment}"]
        missing, seen = list(wanted), ""
        for budget in BUDGETS:
            timed = [*command[:1], f"--virtual-time-budget={1000 * budget}", *command[1:]]
            seen = subprocess.run(timed, capture_output=True, text=True, timeout=120, check=True).stdout
            missing = [text for text in wanted if text not in seen]
            if not missing:
                break
        assert not missing
        return seen

    return rendered


def test_the_server_listens_on_localhost_only(server: Server) -> None:
    assert server.listening() == {"127.0.0.1"}


def test_the_experiment_page_lists_every_run(room: Room, mirror: MLflowMirror, page: Page) -> None:
    assert mirror.experiment_url is not None
    names = {run.info.run_name for run in runs_of(room)}
    assert len(names) == 5
    at = mirror.experiment_url.removeprefix("http://127.0.0.1:5000/")
    page(at, *names, "stacked_digits")
    search = quote('tags.method = "ssgan"')
    charts = page(f"{at}&searchFilter={search}&compareRunsMode=CHART", "SSGAN · seed 0", "SSGAN · seed 1")
    assert "leaderboard (quick)" not in charts


def test_a_run_shows_its_numbers_curves_and_samples(room: Room, page: Page) -> None:
    (run,) = (run for run in runs_of(room) if run.data.tags.get("trial_id") == room.records[0].trial_id)
    at = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    page(at, run.info.run_name, "evaluation/modes", "usage/train_seconds", "optimizer.lr", "0.0002")
    parts = ("evaluation", "loss/discriminator", "loss/generator", "samples", "usage")
    sections = [f">{section}<" for section in parts]
    curves = page(f"{at}/model-metrics", *sections, "js-plotly-plot")
    assert sorted(sections, key=curves.index) == sections  # results first, costs last
    page(f"{at}/artifacts/samples.png", "record.json", "environment.json", "samples_by_step.html", 'src="blob:')


def test_the_report_can_be_read(room: Room, page: Page) -> None:
    (run,) = (run for run in runs_of(room) if "report" in run.data.tags)
    at = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts/leaderboard.html"
    page(at, "leaderboard (quick)", "results.csv", "<iframe")
