"""Published values: the files, how rows override their tables, and the command that prints them."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from baselines.common.limits import limit_density
from benchmark.analysis.verdicts import protocol_mismatches
from benchmark.cli import app, papers
from benchmark.config.published import (
    Paper,
    PublishedProtocol,
    PublishedTable,
    PublishedTables,
    load_paper,
    reference_rows,
)
from benchmark.config.suite import load_suite
from benchmark.core import registry
from benchmark.core.errors import UserError

FOLDER = Path("suites/papers")
PAPERS = {path.stem: load_paper(path) for path in sorted(FOLDER.glob("*.yaml"))}
VALUES = [
    (name, key, value)
    for name, paper in PAPERS.items()
    for key, table in paper.tables.items()
    for published in reference_rows(paper, key)
    for value in published.all_values
]
EVERY = pytest.mark.parametrize("paper", PAPERS)
OTHER_DATA = {"imagenet128", "lsun_bedroom", "lsun_church", "celeba_hq_128", "celeba128", "not named"}

# typed a second time from the sources, independently of the files: paper, table, row, metric, value, spread, verified;
# whole tables are in test_published_tables.py
KNOWN = [
    ("cvpr2019", "imagenet128-scaled", "SS-GAN", "fid", 23.6, 0.1, True),
    ("cvpr2019", "imagenet128-scaled", "Uncond-GAN", "fid", 71.6, 66.3, True),
    ("cvpr2019", "imagenet128-scaled", "SS-GAN, best of three", "fid", 23.4, None, True),
    ("cvpr2019", "imagenet128-tfhub", "SSGAN", "fid", 20.6, None, True),
    ("cvpr2019", "imagenet128-tfhub", "SSGAN", "isc", 24.9, None, True),
    ("cvpr2019", "transfer-imagenet", "DeepClustering", "linear_probe_best", 41.0, None, True),
    ("cvpr2019", "transfer-imagenet", "SS-GAN (sBN)", "linear_probe_best", 38.3, None, True),
    ("neurips2021", "cifar10", "SSGAN-LA", "fd_inception_torchvision", 5.87, None, False),
    ("neurips2021", "line", "SSGAN", "density_peak", 0.645, 0.004, True),
    ("neurips2021", "line", "SSGAN-MS", "density_peak", 0.550, 0.004, True),
    ("neurips2021", "line", "SSGAN-LA", "density_peak", 0.388, 0.004, True),
    ("neurips2021", "tiny-imagenet", "DAGAN+", "fd_inception_torchvision", 52.54, None, False),
    ("distgan2018", "cifar10-cnn", "Dist-GAN", "fid", 28.23, None, True),
    ("distgan2018", "cifar10-resnet", "Dist-GAN", "fid", 17.61, 0.30, True),
    ("distgan2018", "stl10-cnn", "Dist-GAN (hinge)", "fid", 36.19, None, True),
    ("distgan2018", "stl10-resnet", "Dist-GAN", "fid", 28.50, 0.49, True),
    ("distgan2018", "cifar10-ablation", "Dist-GAN4", "fid", 29.80, None, True),
    ("gngan2019", "cifar10-resnet", "GN-GAN", "fid", 16.47, 0.28, True),
    ("gngan2019", "stl10-cnn", "GN-GAN", "fid", 30.80, None, True),
    ("ltgan2021", "cifar10", "SS-GAN", "fid", 22.88, None, True),
    ("ltgan2021", "celeba-hq", "SS-GAN", "fid", 26.85, None, True),
    ("pagan2019", "cifar10", "PA + SS-GAN", "fid", 14.7, None, True),
    ("compare_gan2018", "cifar10-resnet", "GAN", "isc", 7.70, None, True),
    ("mimicry2020", "cifar10", "SSGAN", "fid", 14.65, 0.04, True),
    ("mimicry2020", "cifar10", "SNGAN", "kid", 0.0125, 0.0001, True),
    ("mimicry2020", "stl10", "WGAN-GP", "isc", 8.55, 0.02, True),
    ("mimicry2020", "cifar10-reproduced", "SNGAN", "fid", 23.90, 0.20, True),
    ("pacgan2018", "ring", "GAN", "modes_covered", 6.3, 0.5, True),
    ("pacgan2018", "ring", "PacGAN2", "high_quality", 95.6, 2.0, True),
    ("pacgan2018", "grid", "PacGAN3", "reverse_kl", 0.06, 0.02, True),
    ("pacgan2018", "grid", "ALI", "modes_covered", 24.1, 0.4, True),
    ("veegan2017", "ring", "Unrolled GAN", "high_quality", 35.6, None, True),
    ("veegan2017", "grid", "VEEGAN", "modes_covered", 24.6, None, True),
    ("pacgan2018", "stacked-mnist-k4", "Unrolled GAN, 10 steps", "modes", 327.2, 74.67, True),
    ("pacgan2018", "stacked-mnist-veegan", "PacDCGAN4", "kl", 0.07, 0.005, True),
    ("veegan2017", "stacked-mnist", "VEEGAN", "modes", 150.0, None, True),
    ("chainer_gan_lib2017", "cifar10", "SN-DCGAN", "fid", 23.6, None, True),
    ("deshufflegan2020", "lsun-church", "SS-GAN", "fid", 33.82, None, True),
    ("msgan_reproductions2020", "cifar10-port", "Dist-GAN + MS", "fid", 26.76, None, True),
    ("msgan_reproductions2020", "issue3-run2", "100,000 steps", "fid", 39.64, None, True),
]


# --- the files -----------------------------------------------------------------------------------------


def values_of(paper):
    return [value for name, _, value in VALUES if name == paper]


@EVERY
def test_every_value_says_where_and_how(paper):
    place = re.compile(r"\w+/[\w.-]+@[0-9a-f]{7} \S|\w+\.(com|org)/\S|arXiv:\d{4}\.\d{5}|^docs/\w+\.md")
    for value in values_of(paper):
        assert value.protocol.stated or value.note, value
        assert (value.spread is None) == (value.spread_kind in ("none", "exact")), value
        assert (value.status == "unverified") == ("from memory" in value.source), value
        assert value.status == "unverified" or place.search(value.source), value


@EVERY
def test_every_value_is_of_a_metric_and_of_data_with_a_name(paper):
    bounds = {"modes": (1, 1000), "kl": (0, 6.91), "kid": (0, 0.1), "isc": (1, 30), "fid": (1, 250)}
    bounds |= {"std": (0.1, 2), "density_peak": (0.1, 1)}
    bounds |= dict.fromkeys(("fd_inception_torchvision", "fid_10k"), bounds["fid"])
    bounds |= {"modes_covered": (1, 25), "high_quality": (0, 100), "reverse_kl": (0, 3.22)}
    bounds |= {f"linear_probe_{block}": (5, 85) for block in (*(f"block{index}" for index in range(6)), "best")}
    for value in values_of(paper):
        assert value.dataset in {*registry.datasets, *OTHER_DATA}, value
        low, high = bounds[value.metric]
        assert low <= value.value <= high, value
        assert value.spread is None or value.spread < value.value, value


@EVERY
def test_no_value_is_listed_twice(paper):
    seen = [(v.dataset, v.row, v.metric, v.value, v.protocol) for v in values_of(paper)]
    assert not [one for index, one in enumerate(seen) if one in seen[:index]]


def test_every_discrepancy_is_explained():
    explained = set(re.findall(r"^\| ([A-Z]+-\d\d) \|", Path("docs/discrepancies.md").read_text(), re.MULTILINE))
    used = {one for _, _, value in VALUES for one in value.discrepancies}
    assert {"MS-07", "MS-08", "SS-03", "SS-05", "LA-02", "LA-03", "X-01"} <= used <= explained


@pytest.mark.parametrize("paper, table, row, metric, number, spread, verified", KNOWN)
def test_values_are_those_of_the_sources(paper, table, row, metric, number, spread, verified):
    (value,) = [v for name, key, v in VALUES if (name, key, v.row, v.metric) == (paper, table, row, metric)]
    assert (value.value, value.spread, value.status == "verified") == (number, spread, verified)


def test_every_value_has_the_protocol_of_its_row():
    found = {(name, key, v.row): v for name, key, v in VALUES if v.metric.startswith(("fid", "fd_inception"))}
    mine = found["neurips2019", "cifar10-resnet", "Dist-GAN + MS"].protocol
    other = found["neurips2019", "cifar10-resnet-10k10k", "Dist-GAN + SS"].protocol
    assert (mine.n_real, mine.n_fake, other.n_real, other.n_fake) == (10_000, 5_000, 10_000, 10_000)
    assert found["mimicry2020", "cifar10", "SSGAN"].protocol.n_fake == 50_000
    assert found["mimicry2020", "cifar10-reproduced", "SNGAN"].protocol.n_fake == 5_000
    assert found["neurips2021", "cifar10", "SSGAN-LA"].protocol.feature_extractor == "inception_torchvision"
    assert "fid" not in {v.metric for name, _, v in VALUES if name == "neurips2021"}, "no FID (LA-02)"
    assert found["cvpr2019", "celeba-hq", "SS-GAN"].protocol.n_fake == 3_000
    best = found["cvpr2019", "cifar10-best", "SS-GAN"]
    assert (best.protocol.aggregation, best.n_seeds) == ("best", 3)


def test_everything_but_ssgan_la_was_read_in_its_source():
    assert {name for name, _, value in VALUES if value.status == "unverified"} == {"neurips2021"}


def test_a_quoted_row_has_no_protocol_of_the_paper_that_quotes_it():
    quoted = [value for name, _, value in VALUES if name == "neurips2019" and "quoted from SN-GAN" in value.note]
    assert {value.value for value in quoted} == {37.7, 40.2, 25.5, 55.1, 43.2, 21.70, 40.10}
    assert all(value.protocol.stated == {"n_real": 10_000, "n_fake": 5_000} for value in quoted)
    assert all(value.from_code == () for value in quoted)


@pytest.mark.parametrize("dataset, key", [("imagenet32", "fid"), ("celeba", "isc")])
def test_a_value_on_differently_cropped_images_is_not_comparable(dataset, key):
    suite = load_suite(Path("suites/mimicry2020.yaml"))
    cells = [cell for cell in suite.cells if cell.specs[0].dataset == dataset]
    assert cells
    for cell in cells:
        (problem, *_) = protocol_mismatches(cell.published, cell.specs[0], key)
        assert problem.startswith("images: published the middle "), problem


def test_a_published_single_training_is_no_other_protocol():
    suite = load_suite(Path("suites/mimicry2020.yaml"))
    (cell,) = [one for one in suite.cells if (one.specs[0].dataset, one.row) == ("cifar10", "SSGAN")]
    assert cell.published.protocol.aggregation == "single"
    assert protocol_mismatches(cell.published, cell.specs[0], "fid") == ()


def test_spread_kind_and_number_of_trainings_are_known():
    trainings = {(name, key, v.row): (v.spread_kind, v.n_seeds) for name, key, v in VALUES}
    assert trainings["pacgan2018", "stacked-mnist-k4", "PacDCGAN2"] == ("standard_error", 50)
    assert trainings["pacgan2018", "stacked-mnist-veegan", "PacDCGAN2"] == ("standard_error", 10)
    assert trainings["pacgan2018", "stacked-mnist-k4", "Unrolled GAN, 1 step"] == ("not_stated", None)
    assert trainings["mimicry2020", "cifar10", "SSGAN"] == ("sampling_seeds", 1)
    assert trainings["cvpr2019", "cifar10-regularisers", "SN, β 0 and 0.9, 2 D steps: SS-GAN"] == ("training_seeds", 3)
    assert trainings["neurips2019", "stacked-mnist-k4", "Dist-GAN + MS"] == ("training_seeds", 8)
    assert trainings["neurips2019", "stacked-mnist-k4", "WGAN-GP"] == ("not_stated", None)
    assert trainings["neurips2019", "cifar10-resnet", "Dist-GAN + MS"] == ("not_stated", None)
    assert trainings["sngan2018", "stl10-resnet", "SN-GAN"] == ("training_seeds", None)


def test_values_read_off_a_figure_and_values_in_theory_are_kinds_of_their_own():
    kinds = {(name, key): v.kind for name, key, v in VALUES}
    assert kinds["neurips2021", "line"] == "read from a figure"
    assert {name for (name, _), kind in kinds.items() if kind == "theory"} == {"limits2026"}
    assert {kinds[name, key] for name, key in kinds if name in ("neurips2019", "cvpr2019")} == {"published"}


def test_the_values_in_theory_are_those_that_limits_computes():
    """To the six digits of the file; `tests/unit/baselines/common` checks the computation."""
    grid = np.arange(-8 * 512, 8 * 512 + 1) / 512
    methods = {"GAN": "gan", "SSGAN": "ssgan", "SSGAN-MS": "msgan", "SSGAN-LA": "ssgan_la"}
    for row, method in methods.items():
        density = limit_density(method, norm.pdf, grid, (0.0, 2.0, 4.0, 6.0))
        found = {v.metric: v.value for name, _, v in VALUES if name == "limits2026" and v.row == row}
        moments = np.sqrt(np.trapezoid(density * grid**2, grid))
        assert found == pytest.approx({"std": moments, "density_peak": density.max()}, abs=2e-6)


def test_a_paper_without_figures_says_so():
    assert not PAPERS["icml2021"].tables
    assert "No figure has been read" in PAPERS["icml2021"].note


# --- rows and their tables -----------------------------------------------------------------------------

WORD = st.text("abcxyz", min_size=3, max_size=5)
PROTOCOL = st.fixed_dictionaries(
    {},
    optional={
        "n_real": st.none() | st.integers(1, 9),
        "n_fake": st.none() | st.integers(1, 9),
        "codec": st.none() | WORD,
        "checkpoint": st.none() | WORD,
    },
)
KIND = st.sampled_from(["reading_error", "training_seeds", "sampling_seeds", "standard_error", "not_stated"])
FIELDS = {
    "dataset": WORD,
    "status": st.sampled_from(["verified", "unverified"]),
    "source": WORD,
    "spread_kind": KIND,
    "n_seeds": st.none() | st.integers(1, 9),
    "protocol": PROTOCOL,
    "note": st.just("") | WORD,
    "discrepancies": st.lists(st.sampled_from(["A-01", "A-02", "A-03"]), unique=True),
}


def resolved(table, row, values):
    raw = {"title": "T", **table, "rows": {"R": {"values": values, **row}}}
    paper = load_made({"t": raw})
    (published,) = reference_rows(paper, "t")
    return published


def load_made(tables):
    head = {"title": "P", "authors": "A", "venue": "V", "year": 2019, "url": "u"}
    return Paper.model_validate({**head, "tables": tables})


@given(table=st.fixed_dictionaries(FIELDS), row=st.fixed_dictionaries({}, optional=FIELDS))
def test_a_row_overrides_what_it_states_and_nothing_else(table, row):
    published = resolved(table, row, {"fid": [3.0, 0.5], "isc": 7})
    fid, isc = published.all_values
    effective = {**table, **row}
    for field in ("dataset", "status", "source", "n_seeds"):
        assert getattr(fid, field) == getattr(isc, field) == effective[field]
    assert (fid.spread_kind, isc.spread_kind) == (effective["spread_kind"], "none")
    assert fid.protocol == PublishedProtocol(**{**table["protocol"], **row.get("protocol", {})})
    assert fid.protocol == published.protocol
    assert set(fid.discrepancies) == {*table["discrepancies"], *row.get("discrepancies", [])}
    assert all(note in fid.note for note in (table["note"], row.get("note", "")))
    assert (fid.value, fid.spread, isc.value, isc.spread) == (3.0, 0.5, 7.0, None)
    assert published.value("kid") is None


def test_released_code_completes_what_the_paper_leaves_open():
    table = {
        **GOOD["tables"]["t"],
        "protocol": {"n_fake": 5000, "checkpoint": "best", "evaluate_every": 10_000},
        "released_code": {"n_fake": 5000, "codec": "jpeg", "n_real": 10_000},
        "released_code_source": "eval.py:90-152",
    }
    (published,) = reference_rows(load_made({"t": table}), "t")
    fid = published.value("fid")
    assert published.stated_protocol.stated == table["protocol"]
    assert fid.protocol.stated == {**table["protocol"], "codec": "jpeg", "n_real": 10_000}
    assert set(fid.from_code) == {"codec", "n_real"}, "n_fake is known from the paper"
    assert fid.released_code_source == "eval.py:90-152"


@pytest.mark.parametrize(
    "row, completed, source",
    [
        ({}, {"codec": "jpeg"}, "the table's code"),
        ({"protocol": {"n_fake": None}}, {"codec": "jpeg"}, "the table's code"),
        ({"protocol": {"codec": "none"}, "released_code": {}}, {}, ""),
        ({"released_code": {}}, {}, ""),
        ({"released_code": {"n_real": 9}, "released_code_source": "its own"}, {"n_real": 9}, "its own"),
    ],
)
def test_the_code_of_a_row_replaces_that_of_its_table(row, completed, source):
    table = {"released_code": {"codec": "jpeg"}, "released_code_source": "the table's code"}
    raw = {**GOOD["tables"]["t"], **table, "rows": {"R": {"values": {"fid": [20.0, 0.5]}, **row}}}
    (published,) = reference_rows(load_made({"t": raw}), "t")
    assert {name: getattr(published.protocol, name) for name in published.from_code} == completed
    assert published.released_code_source == source


def test_a_table_is_found_by_name_or_refused_with_the_nearest():
    title, table = PublishedTables(FOLDER).table("mimicry2020/cifar10")
    assert "2020" in title
    assert isinstance(table, PublishedTable)
    with pytest.raises(UserError, match="has no table 'cifar1'; did you mean 'cifar10'"):
        PublishedTables(FOLDER).table("mimicry2020/cifar1")
    with pytest.raises(UserError, match="unknown paper 'mimicri2020'; did you mean 'mimicry2020'"):
        PublishedTables(FOLDER).table("mimicri2020/cifar10")


# --- mistakes ------------------------------------------------------------------------------------------

GOOD = {
    "title": "P",
    "authors": "A",
    "venue": "V",
    "year": 2019,
    "url": "u",
    "tables": {
        "t": {
            "title": "T",
            "dataset": "cifar10",
            "status": "verified",
            "source": "page 3",
            "spread_kind": "not_stated",
            "protocol": {"n_fake": 5000},
            "rows": {"GAN": {"values": {"fid": [20.0, 0.5]}}},
        }
    },
}


def refused(tmp_path, change):
    data = json.loads(json.dumps(GOOD))
    change(data, data["tables"]["t"], data["tables"]["t"]["rows"]["GAN"])
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    with pytest.raises(UserError) as error:
        load_paper(path)
    return str(error.value), path.read_text().splitlines()


MISTAKES = {
    "source missing": (lambda p, t, r: t.pop("source"), "tables.t: 'source' is required", "t:"),
    "protocol missing": (lambda p, t, r: t.pop("protocol"), "tables.t: 'protocol' is required", "t:"),
    "protocol empty": (
        lambda p, t, r: t.update(protocol={}),
        "tables.t.rows.GAN.protocol: the protocol states nothing; say in a 'note'",
        "GAN:",
    ),
    "unknown key": (
        lambda p, t, r: r.update(soure="page 4"),
        "tables.t.rows.GAN.soure: unknown key 'soure'; did you mean 'source'?",
        "soure:",
    ),
    "unknown field of a protocol": (
        lambda p, t, r: r.update(protocol={"n_fakes": 1}),
        "tables.t.rows.GAN.protocol.n_fakes: unknown key 'n_fakes'; did you mean 'n_fake'?",
        "n_fakes:",
    ),
    "status": (lambda p, t, r: t.update(status="verifed"), "is 'verifed'; did you mean 'verified'?", "status:"),
    "source taken away": (lambda p, t, r: r.update(source=None), "tables.t.rows.GAN.source: is None", "source: null"),
    "no number": (lambda p, t, r: r.update(values={"fid": "20"}), "fid: is '20' but must be a number, or", "fid:"),
    "not finite": (lambda p, t, r: r.update(values={"fid": float("nan")}), "must be a finite number", "fid:"),
    "negative spread": (lambda p, t, r: r.update(values={"fid": [20, -1]}), "is -1 but must be greater", "- -1"),
    "spread of no kind": (
        lambda p, t, r: t.update(spread_kind="none"),
        "tables.t.rows.GAN.values.fid: has a spread, but 'spread_kind' is none",
        "fid:",
    ),
    "theory without a kind": (
        lambda p, t, r: (t.update(spread_kind="exact"), r.update(values={"fid": 20.0})),
        "tables.t.rows.GAN: values are theory, but the paper's 'kind' is paper; 'spread_kind: exact' means theory",
        "GAN:",
    ),
    "theory with a spread": (
        lambda p, t, r: (p.update(kind="theory"), t.update(spread_kind="exact")),
        "tables.t.rows.GAN.values.fid: has a spread, but 'spread_kind' is exact",
        "fid:",
    ),
    "figure without an error": (
        lambda p, t, r: (t.update(spread_kind="reading_error"), r.update(values={"fid": 20.0})),
        "tables.t.rows.GAN.values.fid: was read off a figure; give its largest error as a spread",
        "fid:",
    ),
    "code without a source": (
        lambda p, t, r: t.update(released_code={"codec": "jpeg"}),
        "tables.t.rows.GAN.released_code: says how the code evaluates; say in 'released_code_source'",
        "GAN:",
    ),
    "code against the paper": (
        lambda p, t, r: r.update(released_code={"n_fake": 50000}, released_code_source="eval.py"),
        "tables.t.rows.GAN.released_code.n_fake: the code has 50000, the source states 5000, which counts; remove it",
        "n_fake:",
    ),
    "best of how many": (
        lambda p, t, r: r.update(protocol={"aggregation": "best"}),
        "'aggregation' is best, but 'n_seeds' does not say of how many trainings",
        "protocol:",
    ),
    "single of three": (
        lambda p, t, r: r.update(n_seeds=3, protocol={"aggregation": "single"}),
        "'aggregation' is single, but 'n_seeds' is 3",
        "protocol:",
    ),
    "aggregation": (
        lambda p, t, r: r.update(protocol={"aggregation": "best of 3"}),
        "is 'best of 3'; did you mean 'best'?",
        "aggregation:",
    ),
    "no rows": (lambda p, t, r: t.update(rows={}), "tables.t.rows", "rows:"),
    "no values": (lambda p, t, r: r.update(values={}), "tables.t.rows.GAN.values", "values:"),
    "odd id": (lambda p, t, r: r.update(discrepancies=["MS8"]), "tables.t.rows.GAN.discrepancies[0]", "- MS8"),
    "no table": (
        lambda p, t, r: p.update(tables={}),
        "tables: holds no table; say why in the paper's 'note'",
        "tables:",
    ),
}


@pytest.mark.parametrize("change, words, line", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_with_file_line_and_key(tmp_path, change, words, line):
    message, text = refused(tmp_path, change)
    assert words in message
    number = int(re.search(r"p\.yaml:(\d+): ", message)[1])
    assert text[number - 1].strip().startswith(line)


def test_a_note_replaces_a_missing_protocol_or_table(tmp_path):
    table = {**GOOD["tables"]["t"], "protocol": {}, "note": "the page names none"}
    for data in ({**GOOD, "tables": {"t": table}}, {**GOOD, "tables": {}, "note": "No figure has been read."}):
        path = tmp_path / "p.yaml"
        path.write_text(yaml.safe_dump(data))
        assert load_paper(path).title == "P"


# --- the command ---------------------------------------------------------------------------------------


def command(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["benchmark", "papers", *arguments])
    with pytest.raises(SystemExit) as ended:
        app.main()
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def test_all_papers_are_listed_with_their_counts(monkeypatch, capsys):
    code, out, _ = command(monkeypatch, capsys)
    assert code == 0
    lines = {line.split()[0]: line.split()[1:5] for line in out.splitlines() if line.split()[0] in PAPERS}
    assert lines.keys() == PAPERS.keys()
    assert lines["icml2021"] == ["2021", "0", "0", "0"]
    mine = values_of("cvpr2019")
    unverified = [value for value in mine if value.status == "unverified"]
    assert lines["cvpr2019"] == ["2019", str(len(PAPERS["cvpr2019"].tables)), str(len(mine)), str(len(unverified))]


@EVERY
def test_a_page_shows_every_value_marked_and_its_source(monkeypatch, capsys, paper):
    monkeypatch.setattr(app.stdout, "_width", 400)
    code, out, _ = command(monkeypatch, capsys, paper)
    assert code == 0
    for name, key, value in VALUES:
        if name == paper:
            section = out.split(f"{name}/{key}: ")[1].split(f"\n{name}/")[0]
            shown = papers.number(value)
            assert shown.endswith("†") == (value.status == "unverified")
            assert shown in section
            assert value.row in section
            assert value.source in section
    assert PAPERS[paper].note in out


@pytest.mark.parametrize("paper", ["neurips2019", "cvpr2019", "distgan2018", "sngan2018"])
def test_the_pages_of_papers_that_were_read_have_no_dagger(monkeypatch, capsys, paper):
    _, out, _ = command(monkeypatch, capsys, paper)
    assert "†" not in out


def test_claims_are_shown_with_sentence_status_and_source(monkeypatch, capsys):
    monkeypatch.setattr(app.stdout, "_width", 10_000)
    _, out, _ = command(monkeypatch, capsys, "neurips2019")
    for key, claim in PAPERS["neurips2019"].claims.items():
        section = out.split(f"neurips2019/{key}, a claim")[1].split("\nneurips2019/")[0]
        for words in (
            claim.sentence,
            claim.experiment,
            claim.source,
            claim.status,
            claim.note,
            "every scale is judged",
        ):
            assert words in section
    _, out, _ = command(monkeypatch, capsys, "cvpr2019", "--json")
    claims = json.loads(out)["claims"]
    assert claims["forgetting/drop-at-switch"]["sentence"].startswith('"each time the task switches')


@pytest.mark.parametrize("width", [80, 120])
@EVERY
def test_a_page_fits_the_terminal(monkeypatch, capsys, paper, width):
    """Long lines continue on the next one: nothing is cut off."""
    monkeypatch.setattr(app.stdout, "_width", width)
    _, out, _ = command(monkeypatch, capsys, paper)
    assert all(len(line) <= width for line in out.splitlines())
    assert "…" not in out
    shown = set(out.replace("[", " ").split())
    for _, _, value in (entry for entry in VALUES if entry[0] == paper):
        assert set(papers.number(value).split()) <= shown
        assert {word for word in value.row.split() if len(word) < 20} <= shown


def section(out, table):
    return " ".join(out.split(f"{table}: ")[1].split("\nneurips2019/")[0].split())


def test_a_page_shows_the_origin_of_every_field_of_a_protocol(monkeypatch, capsys):
    _, out, _ = command(monkeypatch, capsys, "neurips2019")
    found = section(out, "neurips2019/cifar10-resnet-10k10k")
    assert "protocol stated: n_real 10,000, n_fake 10,000, checkpoint best, evaluate_every 10,000" in found
    assert (
        "released code: reference_split train, feature_extractor inception, codec jpeg, batch_norm batch,"
        " step_unit generator; read in tntrung/msgan@8b8170f msdistgan.py:497-524"
    ) in found
    quoted, *_, ssgan, _, _, _ = re.split(r" \[\d\] ", found[found.index(" [1] quoted") :])[1:]
    assert quoted.startswith(
        "quoted from SSGAN's paper, where the row is Uncond-GAN; source arXiv:1811.11212v2, Table 1"
    )
    assert "; 3 trainings; aggregation best, reference_split test, feature_extractor inception;" in quoted
    assert quoted.endswith("checkpoint, evaluate_every not stated; released code does not apply")
    assert (
        "released code: reference_split test, feature_extractor inception; read in google/compare_gan@19922d3" in ssgan
    )
    assert "SSGAN+ + MS [4, 5] 19.89" in found
    assert "[5] MS-16" in found


def test_many_metrics_are_rows(monkeypatch, capsys):
    _, out, _ = command(monkeypatch, capsys, "cvpr2019")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "row Uncond-GAN Cond-GAN Rot-only [1] SS-GAN (sBN)" in lines
    assert "linear_probe_block3 77.6 78 75.2 79.9" in lines


def test_json_has_every_value_resolved(monkeypatch, capsys):
    code, out, _ = command(monkeypatch, capsys, "--json")
    found = json.loads(out)
    assert code == 0
    assert found.keys() == PAPERS.keys()
    assert sum(len(values) for paper in found.values() for values in paper["tables"].values()) == len(VALUES)
    tables = json.loads(command(monkeypatch, capsys, "neurips2019", "--json")[1])["tables"]
    (value,) = [value for value in tables["cifar10-resnet"] if value["row"] == "Dist-GAN + MS"]
    assert (value["value"], value["spread"], value["status"]) == (13.90, 0.22, "verified")
    assert value["protocol"]["n_fake"] == 5000
    assert value["protocol"]["codec"] == "jpeg"
    assert "codec" in value["from_code"]
    assert "n_fake" not in value["from_code"]
    assert value["released_code_source"].startswith("tntrung/msgan@8b8170f")


def test_an_unknown_paper_is_a_user_error(monkeypatch, capsys):
    code, out, err = command(monkeypatch, capsys, "neurips2018")
    assert (code, out) == (2, "")
    assert "unknown paper 'neurips2018'; did you mean 'neurips20" in err
