"""`run --until-decided`: seeds are added until every judged cell is decided; with given values, and for real."""

import json
import math
import sys
from dataclasses import dataclass
from statistics import mean, stdev
from types import SimpleNamespace

import pytest
import yaml
from scipy import stats

from baselines.methods.gan import GAN
from benchmark.cli import app
from benchmark.execution import suite_run as suite_run_module
from benchmark.execution.events import TrialFinished
from benchmark.execution.suite_run import SuiteRun
from benchmark.store.looks import LooksStore
from tests.conftest import SMALL
from tests.support.report_suite import synthetic_record
from tests.support.runs import numbers_of, records_of, suite_run

SEEDS = [4, 0, 2]
ADDED = [1, 3, 5, 6, 7]  # the smallest numbers that are not in the list, in order
UNTIL_DECIDED = ("--until-decided", "--max-seeds", "8")

# with 5 % around 100: undecided after three seeds, reproduced after five; and decided after three
CLOSE = dict(zip(SEEDS + ADDED, [98.0, 103.0, 101.0, 100.0, 99.0, 100.0, 101.0, 99.0], strict=True))
FAR = dict(zip(SEEDS + ADDED, [120.0, 121.0, 119.0, 120.0, 120.0, 120.0, 120.0, 120.0], strict=True))


def write_paper(folder, metric, protocol, **published):
    table = {
        "title": "Table 1",
        "dataset": "stacked_digits",
        "status": "verified",
        "source": "the PDF, page 7",
        "spread_kind": "none",
        "protocol": {"codec": "none", "checkpoint": "last", "aggregation": "mean", **protocol},
        "n_seeds": 10_000,  # their error is negligible beside ours
        "rows": {row: {"values": {metric: [value, None]}} for row, value in published.items()},
    }
    about = {"title": "A Paper", "authors": "Somebody", "venue": "NeurIPS", "year": 2019, "url": "https://example.org"}
    (folder / "papers").mkdir(exist_ok=True)
    (folder / "papers" / "paper.yaml").write_text(yaml.safe_dump({**about, "tables": {"checked": table}}))


@pytest.fixture
def write_suite(tmp_path, small_suite):
    """A suite of GAN and SSGAN, both with a published KL of 100."""

    def write(tolerance=0.05, **changes):
        write_paper(tmp_path, "kl", {"n_fake": 100, "feature_extractor": "digits"}, GAN=100.0, SSGAN=100.0)
        table = {**SMALL["tables"][0], "published": "paper/checked"}
        stated = {"tolerance": {"kl": tolerance}} if tolerance else {}
        scales = {"paper": {}, "quick": {"cell": {"steps": 3}}}
        return small_suite(**{"seeds": SEEDS, "tables": [table], "scales": scales, **stated, **changes})

    return write


@dataclass
class GivenValues:
    """A runner that trains nothing: a trial ends with the value given for its method and seed."""

    values: dict[str, dict[int, float]]
    stop_before: tuple[str, int] | None = None

    def run(self, jobs, listeners, stop=None):
        for job in jobs:
            spec = job.spec
            if self.stop_before == (spec.method, spec.seed):
                raise KeyboardInterrupt
            record = synthetic_record(spec, metrics={"modes": 1.0, "kl": self.values[spec.method][spec.seed]})
            for listener in listeners:
                listener.handle(TrialFinished(record))


@pytest.fixture(autouse=True)
def without_figures(monkeypatch):
    """Reports have no figures, which take most of their time."""
    monkeypatch.setattr("benchmark.report.figures.draw.draw", lambda *_: {})


@pytest.fixture
def runner(monkeypatch):
    """The runner of all runs; nothing is prepared for it."""
    given = GivenValues({"gan": CLOSE, "ssgan": FAR})
    monkeypatch.setattr(suite_run_module, "make_runner", lambda *_: given)
    monkeypatch.setattr(SuiteRun, "prepare_jobs", lambda _, specs: [SimpleNamespace(spec=spec) for spec in specs])
    return given


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Runs a command in this process, 80 columns wide. Returns exit code, output and error output."""

    def run(name, path, *options, workspace="ws", report="report"):
        places = ["--workspace", str(tmp_path / workspace)]
        places += ["--report-dir", str(tmp_path / report)] if name != "plan" else []
        places += ["--runner", "inprocess"] if name == "run" else []
        monkeypatch.setattr("benchmark.cli.logs.stdout._width", 80)
        monkeypatch.setattr(sys, "argv", ["benchmark", name, str(path), *places, *options])
        with pytest.raises(SystemExit) as ended:
            app.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def results(folder):
    """Row -> its entry in `results.json`."""
    (table,) = json.loads((folder / "results.json").read_text())["tables"]
    return {row["row"]: row for row in table["rows"]}


def verdicts(folder, metric="kl"):
    return {label: row["results"][metric]["verdict"] for label, row in results(folder).items()}


def seeds_of(workspace):
    """Method -> its seeds with a record, sorted."""
    specs = [record.spec for record in records_of(workspace).values()]
    return {method: sorted(s.seed for s in specs if s.method == method) for method in ("gan", "ssgan")}


def looks_of(workspace):
    return {cell.row: cell.looks for cell in LooksStore(workspace / "looks").read("small")}


@pytest.mark.usefixtures("runner")
class TestWithGivenValues:
    def test_only_an_undecided_cell_gets_more_seeds(self, command, write_suite, tmp_path):
        code, output, _ = command("run", write_suite(), *UNTIL_DECIDED)
        assert code == 0
        assert seeds_of(tmp_path / "ws") == {"gan": [0, 1, 2, 3, 4], "ssgan": [0, 2, 4]}
        assert looks_of(tmp_path / "ws") == {"GAN": (3, 5), "SSGAN": (3,)}
        assert verdicts(tmp_path / "report") == {"GAN": "reproduced", "SSGAN": "worse"}
        assert "next look: at 3 seeds, for 2 of 2 cells\n" in output
        assert "next look: at 5 seeds, for 1 of 2 cells\n" in output
        assert "judged cells: 2, with 8 seeds; 2 decided" in output
        assert max(map(len, output.splitlines()[:-2])) <= 80  # the last lines hold a path, and are one line each

    def test_the_report_says_how_it_was_judged(self, command, write_suite, tmp_path):
        command("run", write_suite(), *UNTIL_DECIDED)
        page = (tmp_path / "report" / "leaderboard.md").read_text()
        assert "4, 0, 2, and more until a judged cell is decided, at most 8 per cell" in page
        assert "this is the look at 5 seeds, as 3 left it undecided" in page
        assert "22 % of the error rates" in page
        assert "--until-decided --max-seeds 8" in page
        look = results(tmp_path / "report")["GAN"]["results"]["kl"]
        assert look["look"]["seeds"] == [3, 5]
        low, high = look["difference"]["interval_90"]
        values = [CLOSE[seed] for seed in (SEEDS + ADDED)[:5]]
        assert (high - low) / 2 == pytest.approx(half_width(values, look=1), rel=1e-3)

    def test_the_report_alone_gives_the_same_pages(self, command, write_suite, tmp_path):
        path = write_suite()
        command("run", path, *UNTIL_DECIDED)
        assert command("report", path, report="again")[0] == 0
        for name in ("leaderboard.md", "results.csv", "results.json"):
            assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "report" / name).read_bytes()

    def test_a_plain_run_is_judged_on_its_list_of_seeds_again(self, command, write_suite, tmp_path):
        path = write_suite()
        command("run", path, *UNTIL_DECIDED)
        code, _, status = command("run", path)
        assert code == 0
        assert "judged by a fixed list of seeds again" in status
        command("report", path, report="again")
        for folder in ("report", "again"):
            rows = results(tmp_path / folder)
            assert [len(row["trials"]) for row in rows.values()] == [3, 3]
            assert all(row["results"]["kl"]["look"] is None for row in rows.values())
        command("run", path, *UNTIL_DECIDED)  # trains nothing, and takes the same looks
        assert verdicts(tmp_path / "report") == {"GAN": "reproduced", "SSGAN": "worse"}

    def test_another_list_of_seeds_is_judged_as_a_whole(self, command, write_suite, tmp_path):
        path = write_suite()
        command("run", path, *UNTIL_DECIDED)
        command("report", path, "--seeds", "5")
        rows = results(tmp_path / "report")
        assert [len(row["trials"]) for row in rows.values()] == [5, 5]
        assert all(row["results"]["kl"]["look"] is None for row in rows.values())

    def test_an_interrupted_look_gives_no_verdict_and_continues(self, command, write_suite, tmp_path, runner):
        path = write_suite()
        runner.stop_before = ("gan", 3)
        assert command("run", path, *UNTIL_DECIDED)[0] == 130
        assert command("report", path)[0] == 0
        assert verdicts(tmp_path / "report") == {"GAN": "inconclusive", "SSGAN": "worse"}
        runner.stop_before = None
        assert command("run", path, *UNTIL_DECIDED)[0] == 0
        assert looks_of(tmp_path / "ws") == {"GAN": (3, 5), "SSGAN": (3,)}
        assert verdicts(tmp_path / "report")["GAN"] == "reproduced"

    def test_an_interrupted_first_look_gives_no_verdict(self, command, write_suite, tmp_path, runner):
        """The two seeds of SSGAN that are trained would be `worse` by far, but no look is complete."""
        path = write_suite(seeds=[4, 0, 2, 1])
        runner.stop_before = ("ssgan", 1)
        assert command("run", path, *UNTIL_DECIDED)[0] == 130
        command("report", path)
        assert verdicts(tmp_path / "report")["SSGAN"] == "inconclusive"
        assert "the first look at it is due after 4" in (tmp_path / "report" / "leaderboard.md").read_text()

    def test_a_higher_limit_continues_after_the_looks_taken(self, command, write_suite, tmp_path):
        path = write_suite(tolerance=5e-4)
        command("run", path, "--until-decided", "--max-seeds", "4")
        assert looks_of(tmp_path / "ws") == {"GAN": (3, 4), "SSGAN": (3,)}
        code, output, _ = command("run", path, "--until-decided", "--max-seeds", "7")
        assert code == 0
        assert looks_of(tmp_path / "ws") == {"GAN": (3, 4, 6, 7), "SSGAN": (3,)}
        assert "judged cells: 2, with 10 seeds; 1 not decided with the largest number of seeds; 1 decided" in output
        assert "more seeds: " in output
        assert "## Seeds that would decide" in (tmp_path / "report" / "leaderboard.md").read_text()

    def test_a_cell_with_a_diverged_seed_gets_no_more(self, command, write_suite, tmp_path, runner, monkeypatch):
        real = sys.modules[__name__].synthetic_record

        def diverged(spec, **fields):
            return real(spec, "diverged", "nan") if (spec.method, spec.seed) == ("gan", 2) else real(spec, **fields)

        monkeypatch.setattr(sys.modules[__name__], "synthetic_record", diverged)
        _, output, _ = command("run", write_suite(), *UNTIL_DECIDED)
        assert "1 not decided, because a seed diverged or failed; 1 decided" in output
        assert seeds_of(tmp_path / "ws")["gan"] == [0, 2, 4]

    def test_one_cell_alone_keeps_the_looks_at_the_others(self, command, write_suite, tmp_path):
        path = write_suite()
        command("run", path, *UNTIL_DECIDED, "--only", "GAN")
        command("run", path, *UNTIL_DECIDED, "--only", "SSGAN")
        assert looks_of(tmp_path / "ws") == {"GAN": (3, 5), "SSGAN": (3,)}
        command("run", path, "--only", "SSGAN")
        assert looks_of(tmp_path / "ws") == {"GAN": (3, 5)}

    def test_the_plan_states_the_expected_and_the_largest_cost(self, command, write_suite, tmp_path):
        path = write_suite()
        code, output, _ = command("plan", path, *UNTIL_DECIDED)
        assert code == 0
        assert max(map(len, output.splitlines())) <= 80
        assert "largest possible 16 trainings" in output
        assert not (tmp_path / "ws").exists()
        command("run", path)
        content = json.loads(command("plan", path, *UNTIL_DECIDED, "--json")[1])
        costs = content["until_decided"]
        assert costs["largest"]["trainings"] == 5  # of GAN, as SSGAN is decided
        assert 2 <= costs["expected"]["trainings"] < 5
        (need,) = content["seeds_needed"]
        assert (need["row"], need["metric"], need["spread_source"]) == ("GAN", "kl", "measured")


@pytest.mark.usefixtures("runner")
@pytest.mark.parametrize("name", ["run", "plan"])
@pytest.mark.parametrize(
    "changes, options, message",
    [
        ({}, ["--until-decided"], "also state the most seeds that a cell may get"),
        ({}, ["--max-seeds", "8"], "--max-seeds 8: goes with --until-decided only"),
        ({}, ["--until-decided", "--max-seeds", "2"], "--max-seeds 2: too few seeds, a verdict needs 3"),
        ({"seeds": [0, 1, 2, 3]}, ["--until-decided", "--max-seeds", "3"], "the suite already has 4"),
        ({}, [*UNTIL_DECIDED, "--scale", "quick"], "scale 'quick' is reduced, so no cell is judged"),
        ({"tolerance": None}, UNTIL_DECIDED, "states no tolerance for kl"),
        ({"tables": SMALL["tables"]}, UNTIL_DECIDED, "no value that may be compared was published"),
    ],
)
def test_a_bad_combination_is_refused_before_anything_is_trained(
    command, write_suite, tmp_path, name, changes, options, message
):
    code, _, errors = command(name, write_suite(**changes), *options)
    assert code == 2
    assert message in errors
    assert not (tmp_path / "ws").exists()


def half_width(values, look):
    """Of the interval of the equivalence test at a look, the first being number 0, for an exact published value."""
    share = (1 / 3) * (2 / 3) ** look
    return stats.t.ppf(1 - 0.05 * share, len(values) - 1) * stdev(values) / math.sqrt(len(values))


def test_real_trainings_stop_as_their_values_say_and_continue_bit_identical(
    command, small_suite, tmp_path, monkeypatch
):
    """GAN on the digits, by the Fréchet distance of pixels. The seeds are trained alone first, to know their values."""
    measure = {"fid": {"n_fake": 64, "options": {"extractor": "pixels", "n_real": 64}}}
    changes = {
        "defaults": {**SMALL["defaults"], "steps": 2, "protocol": {"measures": measure, "evaluations": 1}},
        "tables": [{**SMALL["tables"][0], "rows": {"GAN": {"method": "gan"}}}],
        "scales": {"paper": {}},
    }
    alone = suite_run(small_suite("alone", seeds=(SEEDS + ADDED)[:5], **changes), tmp_path, "alone")
    values = [record.metrics["fd_pixels"] for record in alone.run("inprocess", alone.plan()).values()]
    published = mean(values)
    reach = [abs(mean(values[:n]) - published) + half_width(values[:n], look) for look, n in enumerate((3, 5))]
    assert reach[0] > 1.2 * reach[1], "these seeds do not suit the test"
    tolerance = {"fd_pixels": math.sqrt(reach[0] * reach[1]) / published}
    protocol = {"n_fake": 64, "feature_extractor": "pixels", "n_real": 64, "reference_split": "train"}
    write_paper(tmp_path, "fd_pixels", protocol, GAN=published)
    changes["tables"][0]["published"] = "paper/checked"
    path = small_suite(seeds=SEEDS, tolerance=tolerance, **changes)

    real_loss, players = GAN.loss, []

    def killed(self, player, turn):
        players.append(self)
        if len({id(method) for method in players}) == 5:  # the last seed of the second look
            raise KeyboardInterrupt
        return real_loss(self, player, turn)

    monkeypatch.setattr(GAN, "loss", killed)
    assert command("run", path, *UNTIL_DECIDED)[0] == 130
    monkeypatch.setattr(GAN, "loss", real_loss)
    code, output, _ = command("run", path, *UNTIL_DECIDED)
    assert code == 0
    assert "judged cells: 1, with 5 seeds; 1 decided" in output
    assert verdicts(tmp_path / "report", "fd_pixels") == {"GAN": "reproduced"}
    assert numbers_of(tmp_path / "ws") == numbers_of(tmp_path / "alone")
