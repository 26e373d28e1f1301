"""A suite is validated as a whole; every mistake is named with file, line, key, value and the nearest spelling."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.cli import app
from benchmark.config.suite import load_suite, select_cells
from benchmark.core import registry
from benchmark.core.errors import UserError
from benchmark.core.registry import DATASETS
from benchmark.data.base import Dataset
from benchmark.evaluation.metrics.modes import Modes
from benchmark.report.sections.provenance import cell_command, rerun_commands
from benchmark.store.record_store import RecordStore
from benchmark.store.workspace import Workspace
from tests.conftest import SMALL
from tests.support.report_suite import synthetic_record

SUITES = sorted(Path("suites").glob("*.yaml"))


def message(path: Path, **options) -> str:
    with pytest.raises(UserError) as raised:
        load_suite(path, **options)
    return str(raised.value)


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_shipped_suite_is_valid_at_every_scale(path):
    for scale in yaml.safe_load(path.read_text())["scales"]:
        suite = load_suite(path, scale)
        assert suite.specs
        assert suite.is_reduced == (scale != "paper")


@pytest.mark.parametrize("path", sorted(Path("suites").rglob("*.yaml")), ids=str)
def test_shipped_yaml_files_fit_the_screen(path):
    """No line is longer than 120 columns, so tables and rows are written in block style."""
    assert max(map(len, path.read_text(encoding="utf-8").splitlines())) <= 120


def test_every_gan_has_a_row_in_the_suite_of_all_methods():
    suite = load_suite(Path("suites/methods.yaml"))
    gans = {name for name in registry.methods if registry.methods[name].has_generator}
    assert {cell.specs[0].method for cell in suite.cells} == gans


def test_the_same_cell_in_two_suites_is_one_trial():
    one = load_suite(Path("suites/stacked_mnist.yaml"))
    other = load_suite(Path("suites/neurips2019.yaml"))
    assert len(set(other.specs) & set(one.specs)) == 6 * 5, "Dist-GAN, + SS and + MS, twice, with five seeds"


def test_a_table_may_have_seeds_of_its_own(small_suite):
    rows = {"A": {"method": "gan"}}
    tables = [{"title": "T", "rows": rows}, {"title": "U", "seeds": [0, 5], "rows": {"B": {"method": "ssgan"}}}]
    path = small_suite(seeds=[0, 1, 2], tables=tables, scales={"paper": {}, "quick": {"seeds": [7]}})
    seeds = lambda suite: {cell.row: [spec.seed for spec in cell.specs] for cell in suite.cells}  # noqa: E731
    suite = load_suite(path, "paper")
    assert seeds(suite) == {"A": [0, 1, 2], "B": [0, 5]}
    assert suite.seeds == (0, 1, 2, 5)
    assert [spec.seed for spec in suite.specs.values()] == [0, 0, 1, 5, 2], "the first seed of every cell first"
    assert seeds(load_suite(path, "quick")) == {"A": [7], "B": [7]}
    assert seeds(load_suite(path, "paper", seeds=2)) == {"A": [0, 1], "B": [0, 1]}
    tables[1]["seeds"] = [5, 5]
    assert "small.yaml:33: tables[1].seeds: a seed appears twice" in message(small_suite(tables=tables))


def test_later_layers_override_earlier_ones(tmp_path, small_suite):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "wide.yaml").write_text("{steps: 10, batch_size: 12, optimizer: {lr: 0.5}}")
    table = {
        "title": "T",
        "recipe": "wide",
        "defaults": {"batch_size": 16},
        "rows": {"A": {"method": "gan"}, "B": {"method": "gan", "batch_size": 20, "steps": 11}},
    }
    suite = load_suite(small_suite(tables=[table], scales={"quick": {}, "tiny": {"cell": {"steps": 2}}}))
    a, b = (cell.specs[0] for cell in suite.cells)
    assert (a.steps, a.batch_size, a.optimizer.lr, a.optimizer.betas) == (10, 16, 0.5, (0.0, 0.9))
    assert (b.steps, b.batch_size) == (11, 20)
    tiny = load_suite(suite.path, "tiny")
    assert {spec.steps for spec in tiny.specs.values()} == {2}


ORDER = ["defaults", "recipe 0", "recipe 0, gan", "recipe 1", "recipe 1, gan", "recipe 2", "recipe 2, gan"]
ORDER += ["table defaults", "table, gan", "row", "scale"]


@pytest.mark.parametrize("top", range(len(ORDER)))
def test_every_layer_overrides_all_layers_before_it(tmp_path, small_suite, top):
    """Each layer up to `top` sets the same value, which is the number of the layer."""
    (tmp_path / "recipes").mkdir()
    layer = {name: {"steps": 100 + n} if n <= top else {} for n, name in enumerate(ORDER)}
    others = {"ssgan": {"steps": 999}}  # of another method
    for n in range(3):
        methods = {"gan": layer[f"recipe {n}, gan"], **others}
        recipe = {**layer[f"recipe {n}"], "methods": methods, "sources": f"recipe {n}"}
        methods["gan"] = {**methods["gan"], "sources": f"recipe {n}, gan"}
        (tmp_path / "recipes" / f"r{n}.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    table = {
        "title": "T",
        "recipe": ["r1", "r2"],
        "defaults": {**layer["table defaults"], "sources": "table defaults"},
        "methods": {"gan": {**layer["table, gan"], "sources": "table, gan"}, **others},
        "rows": {"A": {"method": "gan", **layer["row"], "sources": "row"}},
    }
    scale = {"cell": {**layer["scale"], "sources": "scale"}}
    defaults = {**SMALL["defaults"], "steps": 100, "sources": "defaults"}
    path = small_suite(defaults=defaults, recipe="r0", tables=[table], scales={"quick": scale})
    (cell,) = load_suite(path).cells
    assert cell.specs[0].steps == 100 + top
    origin = cell.provenance[("steps",)]
    assert origin.source == ORDER[top]
    file, line = origin.line.rsplit(":", 1)
    assert Path(file).read_text().splitlines()[int(line) - 1].strip() == f"steps: {100 + top}"
    written = ORDER[top].partition(",")[0].replace("recipe ", "recipes/r")
    assert Path(file) == (tmp_path / f"{written}.yaml" if written.startswith("recipes/") else path)


def test_a_rows_recipe_comes_between_the_tables_recipe_and_defaults(tmp_path, small_suite):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "tables.yaml").write_text("{steps: 10, batch_size: 12, methods: {gan: {steps: 11}}}")
    (tmp_path / "recipes" / "rows.yaml").write_text("{steps: 12, batch_size: 16, methods: {gan: {steps: 13}}}")
    rows = {"A": {"method": "gan", "recipe": "rows"}, "B": {"method": "gan"}, "C": {"method": "ssgan"}}
    table = {"title": "T", "recipe": "tables", "defaults": {"batch_size": 20}, "rows": rows}
    steps = [cell.specs[0].steps for cell in load_suite(small_suite(tables=[table])).cells]
    assert steps == [13, 11, 10]
    assert {spec.batch_size for spec in load_suite(small_suite(tables=[table])).specs.values()} == {20}


@pytest.mark.parametrize(
    ("suite", "batches"),
    [("cvpr2019", "quarter_four_ways"), ("mimicry2020", "each_one_way"), ("neurips2021", "each_one_way")],
)
def test_ssgan_rotates_the_images_of_its_source_in_every_suite(suite, batches):
    """SSGAN's paper rotates 16 of its 64 images four ways, mimicry and SSGAN-LA every image once (SS-01)."""
    specs = load_suite(Path(f"suites/{suite}.yaml")).specs.values()
    assert {spec.options["batches"] for spec in specs if spec.method == "ssgan"} == {batches}


def test_wgan_gp_trains_by_its_authors_code_on_msgans_networks_and_is_compared_with_nothing():
    """gan_cifar.py:29 and :137-138 of igul222/improved_wgan_training, and the 128 normal latents of its generator."""
    cells = [cell for cell in load_suite(Path("suites/stacked_mnist.yaml")).cells if cell.specs[0].method == "wgan_gp"]
    assert [cell.specs[0].network_options["k"] for cell in cells] == [4, 2]
    for cell in cells:
        spec = cell.specs[0]
        assert (spec.discriminator_steps, spec.steps, spec.batch_size) == (5, 200_000, 64)
        assert (spec.optimizer.lr, spec.optimizer.betas, spec.optimizer.schedule) == (1e-4, (0.5, 0.9), "constant")
        assert spec.optimizer.epsilon == "tensorflow"
        assert (spec.latent.dim, spec.latent.distribution) == (128, "normal")
        assert not cell.published


def test_options_of_a_method_point_to_their_line_and_source_in_the_recipe(monkeypatch, capsys):
    """`python -m benchmark methods dist_gan_ms`, as a reader looks it up."""
    monkeypatch.setattr(sys, "argv", ["benchmark", "methods", "dist_gan_ms", "--json"])
    with pytest.raises(SystemExit):
        app.main()
    recipes = json.loads(capsys.readouterr().out)
    expected = {"msgan_resnet": (0.5, 0.1), "msgan_celeba": (1.0, 0.1), "msgan_stacked_mnist_k2": (1.0, 1.0)}
    found = {}
    for recipe in recipes["recipes"] if isinstance(recipes, dict) else recipes:
        weights = [recipe["constants"][f"options.weight_{player}"] for player in "dg"]
        for weight in weights:
            file, line = weight["where"].rsplit(":", 1)
            assert "dist_gan_ms" in Path(file).read_text().splitlines()[int(line) - 1] or file == "suites/methods.yaml"
            assert re.search(r"msdistgan_\w+\.py:\d+", weight["source"])
        found[Path(file).stem] = tuple(weight["value"] for weight in weights)
    assert {name: found[name] for name in expected} == expected


def test_the_number_of_seeds_can_be_overridden(small_suite):
    suite = load_suite(small_suite(), seeds=3)
    assert suite.seeds == (0, 1, 2)
    assert len(suite.specs) == 6


def test_first_seeds_are_trained_first(small_suite):
    assert [spec.seed for spec in load_suite(small_suite()).specs.values()] == [0, 0, 1, 1]


def test_new_rows_and_seeds_keep_existing_trial_ids(small_suite):
    before = load_suite(small_suite())
    rows = SMALL["tables"][0]["rows"] | {"MSGAN": {"method": "msgan"}}
    after = load_suite(small_suite("grown", tables=[{"title": "Digits", "rows": rows}], seeds=[0, 1, 2]))
    assert set(before.specs) < set(after.specs)


def with_default(**changes):
    return {"defaults": {**SMALL["defaults"], **changes}}


def only(method, **changes):
    """One row of a method."""
    return {"tables": [{"title": "T", "rows": {"A": {"method": method, **changes}}}]}


@pytest.mark.parametrize(
    "changes, expected",
    [
        (with_default(batch_sise=8), ["small.yaml:", "defaults.batch_sise", "'batch_size'"]),
        (with_default(steps=-3), ["defaults.steps", "-3", "greater than 0"]),
        (with_default(steps="many"), ["defaults.steps", "'many'", "whole number"]),
        (with_default(steps=True), ["defaults.steps", "True", "whole number"]),
        (with_default(steps=1.5), ["defaults.steps", "1.5", "whole number"]),
        (with_default(dataset="staked_digits"), ["defaults.dataset", "'staked_digits'", "'stacked_digits'"]),
        (with_default(network="mpl"), ["defaults.network", "'mpl'", "'mlp'"]),
        (with_default(network="msgan_stacked_mnist", network_options={"k": 4}), ["3x8x8", "fitting: mlp"]),
        (with_default(network_options={"width": 3}), ["network_options.width", "encoder_width"]),
        (with_default(latent={"dim": 4, "distribution": "gauss"}), ["latent.distribution", "'gauss'", "normal"]),
        (with_default(latent={"dim": 4}), ["'distribution' is required"]),
        (
            with_default(dataset="stacked_mnist", network="msgan_stacked_mnist", network_options={}),
            ["'network_options.k' is required"],
        ),
        (only("dist_gan_ss"), ["'options.weight_d' is required", "'options.weight_g' is required"]),
        (with_default(optimizer={"lr": "fast", "betas": [0, 0.9]}), ["optimizer.lr", "'fast'", "number"]),
        (with_default(optimizer={"lr": 1e-3, "betas": [0, 1.5]}), ["optimizer.betas[1]", "1.5", "less than 1"]),
        (
            with_default(optimizer={"lr": 1e-3, "betas": [0, 0.9], "player_lr": {"encoder": 1e-4}}),
            ["player_lr.encoder", "unknown player 'encoder'"],
        ),
        (
            with_default(optimizer={"lr": 1e-3, "betas": [0, 0.9], "nesterov": {"classifier": 0.9}}),
            ["nesterov.classifier", "unknown player 'classifier'"],
        ),
        (
            with_default(optimizer={"lr": 1e-3, "betas": [0, 0.9], "nesterov": {"generator": 0}}),
            ["nesterov.generator", "greater than 0"],
        ),
        (with_default(batch_size=6), ["batch_size 6 is not divisible by 4"]),
        (with_default(options={"gmae": "hinge"}), ["defaults.options.gmae", "'game'"]),
        (with_default(options={"game": "hing"}), ["defaults.options.game", "'hing'", "'hinge'"]),
        (
            with_default(protocol={"measures": {"mods": {"n_fake": 10}}}),
            ["protocol.measures.mods", "'mods'", "'modes'"],
        ),
        (
            with_default(protocol={"measures": {"modes": {"n_fake": 10}}, "evaluations": 7}),
            ["protocol.evaluations", "7 evaluations do not fit in 6 steps"],
        ),
        (with_default(average={"decay": 1.5}), ["defaults.average.decay", "1.5", "less than 1"]),
        (with_default(average={"dekay": 0.5}), ["average.dekay", "'decay'"]),
        (
            with_default(optimizer={"lr": 1e-3, "betas": [0, 0.9], "schedule": "capped"}),
            ["optimizer.schedule", "'capped'", "capped_linear"],
        ),
        (
            with_default(
                optimizer={"lr": 1e-3, "betas": [0, 0.9], "schedule": {"factor": 2, "every": 1, "counted": "step"}}
            ),
            ["optimizer.schedule.factor", "less than or equal to 1", "optimizer.schedule.counted", "'steps'"],
        ),
        (only("pacgan", batch_size=9), ["batch_size 9 is not divisible by the packing, 2"]),
        (only("pacgan", options={"packing": 0}), ["options.packing", "0", "greater than or equal to 1"]),
        (
            only("self_labelling", options={"labelled": 0.5, "prototypes": 20}),
            ["options", "prototypes is 20, too few for 1000 manual classes"],
        ),
        (only("self_labelling", options={"labelled": 1.5}), ["options.labelled", "1.5"]),
        (
            only("self_labelling", options={"latent_label": "nearer"}),
            ["options.latent_label", "'nearer'", "'nearest'"],
        ),
        (with_default(seed=3), ["defaults.seed", "'seed' cannot be set here; use 'seeds'"]),
        (with_default(version=7), ["defaults.version", "cannot be set here"]),
        ({"tabels": []}, ["tabels: unknown key 'tabels'; did you mean 'tables'?"]),
        ({"tables": []}, ["tables", "at least 1"]),
        ({"tables": [{"title": "T", "rows": {}}]}, ["tables[0].rows: is {} but must have at least 1 entry"]),
        ({"tables": [{"title": "T", "rows": {"A": {"method": "gna"}}}]}, ["tables[0].rows.A.method", "'gan'"]),
        ({"tables": [{"title": "T", "rows": {"A": 3}}]}, ["tables[0].rows.A", "keys and values"]),
        (
            {"tables": [{"title": "T", "rows": {"A": {"method": "gan"}, "B": {"method": "gan"}}}]},
            ["tables[0].rows.B", "the same cell as row 'A'"],
        ),
        (
            {"tables": [SMALL["tables"][0], SMALL["tables"][0]]},
            ["two tables have the same title"],
        ),
        ({"seeds": [1, 1]}, ["a seed appears twice"]),
        ({"seeds": []}, ["seeds", "at least 1"]),
        ({"seeds": [-1]}, ["seeds[0]", "-1"]),
        ({"tolerance": {"KL": 0.1}}, ["tolerance.KL", "did you mean 'kl'?"]),
        ({"recipe": "none_such"}, ["recipe", "unknown recipe 'none_such'"]),
        ({"resources": {"cpus": 0}}, ["resources.cpus", "0", "greater than 0"]),
        ({"resources": {"retries": -1}}, ["resources.retries", "-1", "greater than or equal to 0"]),
        ({"resources": {"vmap_seeds": 0}}, ["resources.vmap_seeds", "0", "greater than 0"]),
        ({"resources": {"together": 0}}, ["resources.together", "0", "greater than 0"]),
        ({"resources": {"time_limit_hours": 0}}, ["resources.time_limit_hours", "0", "greater than 0"]),
        (
            {"tables": [{"title": "T", "published": "nips/x", "rows": {"A": {"method": "gan"}}}]},
            ["tables[0].published", "unknown paper 'nips'"],
        ),
    ],
)
def test_every_mistake_is_named(small_suite, changes, expected):
    text = message(small_suite(**changes))
    for part in expected:
        assert part in text


@pytest.mark.parametrize(
    "value, key, problem",
    [
        ("two", "", "is 'two'; known: one_per_call"),
        (2, "", "is 2 but must hold keys and values"),
        ({"discriminator": -1}, ".discriminator", "is -1 but must be greater than 0"),
        ({"encoder": 2}, ".encoder", "unknown key 'encoder'; did you mean 'generator'?"),
    ],
)
def test_wrong_power_iterations_give_one_message(small_suite, value, key, problem):
    """Of the two forms, the message is about the one that was written."""
    text = message(small_suite(defaults={**SMALL["defaults"], "power_iterations": value}))
    assert text.count("\n") == 0
    assert text.endswith(f"defaults.power_iterations{key}: {problem}")


class Unlabelled(Dataset):
    name, shape = "unlabelled", (3, 8, 8)


class Sized32(Dataset):
    name, shape, num_labels = "sized_32", (3, 32, 32), 10


class Sized48(Dataset):
    name, shape, num_labels = "sized_48", (3, 48, 48), 10


@pytest.mark.parametrize(
    ("dataset", "changes", "expected"),
    [
        (Unlabelled, only("conditional_gan"), ["learns from labels, and unlabelled has none", "stacked_digits"]),
        (
            Unlabelled,
            only("self_labelling", options={"labelled": 0.1, "prototypes": 10}),
            ["'self_labelling' learns from labels, and unlabelled has none"],
        ),
        (
            Sized48,
            only("conditional_gan", network="msgan_resnet", network_options={}),
            ["'conditional_gan' needs conditions, which network 'msgan_resnet' lacks", "sngan_resnet"],
        ),
        (
            Sized32,
            only(
                "conditional_gan",
                network="compare_gan_resnet",
                network_options={"generator_norm": "self_modulated", "generator_width": 64, "discriminator_width": 64},
            ),
            ["network_options", "'self_modulated' takes the latents and no label"],
        ),
        (
            Sized48,
            only("gan", network="dcgan", network_options={}),
            ["'dcgan' does not make 3x48x48 images of sized_48", "sngan_resnet"],
        ),
    ],
)
def test_a_method_or_network_unfit_for_the_dataset_is_refused(small_suite, monkeypatch, dataset, changes, expected):
    monkeypatch.setitem(DATASETS, dataset.name, f"{__name__}:{dataset.__name__}")
    monkeypatch.setattr(Modes, "check_config", classmethod(lambda *_: None))
    text = message(small_suite(**with_default(dataset=dataset.name) | changes))
    for part in expected:
        assert part in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"network": "mlp"}, "'mlp' does not make 1-dimensional points of normal_line; fitting: ssgan_la_line"),
        ({"dataset": "stacked_digits"}, "network 'ssgan_la_line' does not make 3x8x8 images of stacked_digits"),
        (
            {"measure": {"codec": "jpeg"}},
            "codec 'jpeg' changes images, and normal_line holds points; leave out 'codec'",
        ),
        ({"measure": {"metric": "fid", "options": {"extractor": "pixels"}}}, "'pixels' does not take 1-dimensional"),
        ({"measure": {"metric": "fid"}}, "extractor 'inception' does not take 1-dimensional points of normal_line"),
        ({"measure": {"metric": "rotation_accuracy", "n_fake": None}}, "rotates images, and normal_line holds points"),
        ({"measure": {"metric": "linear_probe", "n_fake": None}}, "needs images of a few classes, and normal_line has"),
        ({"method": "conditional_gan"}, "'conditional_gan' needs conditions, which network 'ssgan_la_line' lacks"),
        ({"method": "dist_gan"}, "method 'dist_gan' needs encoder, which network 'ssgan_la_line' lacks"),
    ],
)
def test_what_does_not_fit_points_is_refused_with_a_reason(small_suite, changes, expected):
    measure = {"metric": "point_moments", "n_fake": 100} | changes.get("measure", {})
    measure = {key: value for key, value in measure.items() if value is not None}
    cell = {"dataset": "normal_line", "network": "ssgan_la_line", "network_options": {}}
    cell |= {key: value for key, value in changes.items() if key in cell}
    cell["protocol"] = {"measures": {measure["metric"]: measure}, "evaluations": 1}
    assert expected in message(small_suite(**with_default(**cell) | only(changes.get("method", "ssgan"))))


def test_self_labelling_accepts_unlabelled_images(small_suite, monkeypatch):
    monkeypatch.setitem(DATASETS, "unlabelled", f"{__name__}:Unlabelled")
    monkeypatch.setattr(Modes, "check_config", classmethod(lambda *_: None))
    assert load_suite(small_suite(**with_default(dataset="unlabelled") | only("self_labelling"))).specs


@pytest.mark.parametrize("keys", [("vmap_seeds", "cuda_graphs"), ("together", "graphs")])
def test_resources_have_two_names_for_vmapped_seeds_and_graphs(small_suite, keys):
    resources = load_suite(small_suite(resources=dict(zip(keys, (3, True), strict=True)))).resources
    assert (resources.vmap_seeds, resources.graphs) == (3, True)


def test_all_mistakes_are_reported_at_once_and_each_once(small_suite):
    text = message(small_suite(**with_default(steps=-3, dataset=5)))
    assert text.count("defaults.steps") == 1  # not once per row
    assert "defaults.dataset" in text


def test_unknown_scale_names_the_known_ones(small_suite):
    assert "did you mean 'quick'?" in message(small_suite(), scale="quik")


def test_a_message_points_to_the_line(small_suite):
    path = small_suite(**with_default(steps=-3))
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "steps:" in text)
    assert f"{path}:{line}: defaults.steps" in message(path)


def test_a_mistake_in_a_recipe_points_into_the_recipe(tmp_path, small_suite):
    (tmp_path / "recipes").mkdir()
    recipe = tmp_path / "recipes" / "odd.yaml"
    recipe.write_text("batch_size: 16\nsteps: 0\n")
    assert f"{recipe}:2: steps: is 0" in message(small_suite(recipe="odd"))


def test_published_rows_are_found_by_name_or_refused(tmp_path, small_suite):
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "p.yaml").write_text(
        "{title: P, authors: A, venue: V, year: 2019, url: u, tables: {t: {title: T, dataset: stacked_digits,"
        " status: verified, source: page 3, spread_kind: not_stated, protocol: {n_fake: 9},"
        " rows: {GAN: {values: {modes: [5, null]}}, SS: {values: {modes: [6.5, 0.5]}}}}}}"
    )
    rows = {"GAN": {"method": "gan"}, "SSGAN": {"method": "ssgan", "published": "SS"}}
    table = {"title": "T", "published": "p/t", "rows": rows}
    gan, ssgan = load_suite(small_suite(tables=[table])).cells
    assert gan.published.values == {"modes": (5.0, None)}
    assert ssgan.published.values == {"modes": (6.5, 0.5)}
    rows["SSGAN"]["published"] = "SSS"
    assert "p/t has no row 'SSS'; did you mean 'SS'?" in message(small_suite(tables=[table]))
    rows["SSGAN"]["published"] = "none"
    assert load_suite(small_suite(tables=[table])).cells[1].published is None


TWO_PAPERS = {
    "p": {"t": {"GAN": 5, "SS": 6.5}, "other": {"SS": 7}},
    "q": {"t": {"GAN": 8}},
}


def write_papers(folder):
    """Paper -> table -> row -> modes."""
    (folder / "papers").mkdir()
    about = {"dataset": "stacked_digits", "status": "verified", "source": "page 3", "spread_kind": "none"}
    for name, tables in TWO_PAPERS.items():
        tables = {
            table: {
                "title": f"{name}/{table}",
                **about,
                "protocol": {"n_fake": 9},
                "rows": {row: {"values": {"modes": value}} for row, value in rows.items()},
            }
            for table, rows in tables.items()
        }
        paper = {"title": name, "authors": "A", "venue": "V", "year": 2019, "url": "u", "tables": tables}
        (folder / "papers" / f"{name}.yaml").write_text(yaml.safe_dump(paper))


BOTH = {"GAN": {"method": "gan"}, "SSGAN": {"method": "ssgan"}}


def published_in(path):
    """Row -> the table that its value is from, and the value."""
    cells = load_suite(path).cells
    return {
        cell.row: cell.published and (cell.published.table.title, cell.published.values["modes"][0]) for cell in cells
    }


@pytest.mark.parametrize(
    ("table", "gan", "ssgan"),
    [
        ({"published": "p/t", "published_as": {"SSGAN": "SS"}}, ("p/t", 5), ("p/t", 6.5)),
        ({"published": "p/t", "published_as": {"SSGAN": "none"}}, ("p/t", 5), None),
        ({"published": "p/t", "published_as": {"SSGAN": "p/other/SS"}}, ("p/t", 5), ("p/other", 7)),
        ({"published_as": {"GAN": "q/t/GAN"}}, ("q/t", 8), None),
        (
            {
                "published": "p/t",
                "published_as": {"GAN": "none", "SSGAN": "none"},
                "rows": {
                    "GAN": {"method": "gan", "published": "q/t/GAN"},
                    "SSGAN": {"method": "ssgan", "published": "SS"},
                },
            },
            ("q/t", 8),
            ("p/t", 6.5),
        ),
    ],
    ids=["another row", "none", "another table", "no table of its own", "the row says more"],
)
def test_published_values_are_found_in_any_table(tmp_path, small_suite, table, gan, ssgan):
    write_papers(tmp_path)
    found = published_in(small_suite(tables=[{"title": "T", "rows": BOTH} | table]))
    assert found == {"GAN": gan, "SSGAN": ssgan}


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            {"published": "p/t", "published_as": {"SSGAM": "SS"}},
            ["published_as.SSGAM", "there is no row 'SSGAM'", "did you mean 'SSGAN'?"],
        ),
        (
            {"published": "p/t", "published_as": {"SSGAN": "SSS"}},
            ["published_as.SSGAN", "p/t has no row 'SSS'; did you mean 'SS'?", "'published: none'"],
        ),
        ({"published_as": {"GAN": "r/t/GAN"}}, ["published_as.GAN", "unknown paper 'r'"]),
        ({"published_as": {"GAN": "p/tt/GAN"}}, ["published_as.GAN", "has no table 'tt'; did you mean 't'?"]),
        ({"published_as": {"GAN": "q/t/GAM"}}, ["published_as.GAN", "q/t has no row 'GAM'; did you mean 'GAN'?"]),
        (
            {"rows": {"GAN": {"method": "gan", "published": "q/t/GAM"}}},
            ["rows.GAN.published", "q/t has no row 'GAM'; did you mean 'GAN'?"],
        ),
        (
            {"published_as": {"GAN": "GAN"}},
            ["published_as.GAN", "'GAN' is a row of no table", "paper/table/row"],
        ),
        ({"rows": {"GAN": {"method": "gan", "published": "GAN"}}}, ["rows.GAN.published", "a row of no table"]),
        ({"methods": {"gna": {"steps": 5}}}, ["tables[0].methods.gna", "unknown method 'gna'; did you mean 'gan'?"]),
        ({"methods": {"gan": 5}}, ["tables[0].methods.gan", "5"]),
        ({"methods": {"gan": {"stesp": 5}}}, ["tables[0].methods.gan.stesp", "did you mean 'steps'?"]),
        ({"recipe": ["whole", "hole"]}, ["tables[0].recipe", "unknown recipe 'hole'; did you mean 'whole'?"]),
        ({"recipe": "unknown_method"}, ["unknown_method.yaml:2", "methods.gna", "did you mean 'gan'?"]),
        ({"recipe": "no_mapping"}, ["no_mapping.yaml:1", "methods", "must map each method"]),
        ({"recipe": "no_patch"}, ["no_patch.yaml:1", "methods", "must map each method"]),
    ],
)
def test_mistakes_about_methods_and_published_values_are_named(tmp_path, small_suite, table, expected):
    write_papers(tmp_path)
    (tmp_path / "recipes").mkdir()
    recipes = {"whole": {}, "unknown_method": {"gna": {}}, "no_mapping": [1], "no_patch": {"gan": 3}}
    for name, methods in recipes.items():
        (tmp_path / "recipes" / f"{name}.yaml").write_text(yaml.safe_dump({"methods": methods}))
    text = message(small_suite(tables=[{"title": "T", "rows": BOTH} | table]))
    for part in expected:
        assert part in text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from([*SMALL, *SMALL["defaults"]]), value=JSON)
def test_any_value_anywhere_is_read_or_refused_with_a_message(tmp_path, key, value):
    data = {**SMALL, key: value} if key in SMALL else {**SMALL, **with_default(**{key: value})}
    path = tmp_path / "fuzzed.yaml"
    path.write_text(yaml.safe_dump(data))
    try:
        load_suite(path)
    except UserError as error:
        said = str(error)
    else:
        return
    assert str(path) in said


# --- selecting cells -----------------------------------------------------------------------------------

TINY = {
    "title": "Tiny",
    "seeds": [0, 1],
    "defaults": {
        "dataset": "stacked_digits",
        "network": "mlp",
        "latent": {"dim": 4, "distribution": "normal"},
        "steps": 2,
        "batch_size": 8,
        "optimizer": {"lr": 1e-3, "betas": [0.0, 0.9]},
        "protocol": {"measures": {"modes": {"n_fake": 100}}, "evaluations": 1},
    },
    "tables": [
        {"title": "Width K/4", "rows": {"GAN": {"method": "gan"}, "SS GAN's": {"method": "ssgan"}}},
        {"title": "Longer", "defaults": {"steps": 3}, "rows": {"GAN": {"method": "gan"}}},
    ],
    "scales": {"quick": {}},
}


@pytest.fixture
def tiny(tmp_path):
    (tmp_path / "suites").mkdir()
    path = tmp_path / "suites" / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY, sort_keys=False))
    return load_suite(path, "quick", 3)


def names(suite):
    return [f"{cell.table}/{cell.row}" for cell in suite.cells]


@pytest.mark.parametrize(
    "wanted, expected",
    [
        ([], ["Width K/4/GAN", "Width K/4/SS GAN's", "Longer/GAN"]),
        (["GAN"], ["Width K/4/GAN", "Longer/GAN"]),
        (["longer/gan"], ["Longer/GAN"]),
        (["Longer/GAN", " SS  GAN's "], ["Width K/4/SS GAN's", "Longer/GAN"]),
    ],
)
def test_cells_are_named_by_table_and_row_or_by_row(tiny, wanted, expected):
    cut = select_cells(tiny, wanted)
    assert names(cut) == expected
    assert len(cut.specs) == 3 * len(expected)
    assert set(cut.specs) <= set(tiny.specs)


def scaled(tmp_path, rows):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY | {"scales": {"quick": {"rows": rows}, "paper": {}}}, sort_keys=False))
    return path


def test_a_scale_may_select_rows(tmp_path):
    path = scaled(tmp_path, ["Longer/GAN", "ss gan's"])
    assert names(load_suite(path, "quick")) == ["Width K/4/SS GAN's", "Longer/GAN"]
    assert len(load_suite(path, "paper").cells) == 3
    assert not load_suite(path, "quick").only, "the scale is whole"


def test_an_unknown_row_of_a_scale_is_named_with_its_location(tmp_path):
    with pytest.raises(UserError, match=r"tiny\.yaml.*rows.*'Longer/GAM'.*did you mean 'Longer/GAN'"):
        load_suite(scaled(tmp_path, ["Longer/GAM"]), "quick")


def test_an_unknown_cell_is_refused_with_the_nearest_name(tiny):
    with pytest.raises(UserError, match=r"--only 'Longer/GAM'.*did you mean 'Longer/GAN'"):
        select_cells(tiny, ["GAN", "Longer/GAM"])


def test_the_command_of_a_cell_runs_that_cell(tiny, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    cell = tiny.cells[1]
    line = cell_command(tiny, cell)
    assert line.endswith("""--scale quick --seeds 3 --only 'Width K/4/SS GAN'"'"'s'""")
    python, _, module, verb, *arguments = shlex.split(line)
    assert (python, module, verb) == ("python", "benchmark", "run")
    monkeypatch.setattr(sys, "argv", ["benchmark", "plan", *arguments, "--json"])
    with pytest.raises(SystemExit):
        app.main()
    planned = json.loads(capsys.readouterr().out)["cell_states"]
    trials = [trial["trial_id"] for state in planned for trial in state["trials"]]
    assert trials == [spec.trial_id for spec in cell.specs]
    assert rerun_commands(select_cells(tiny, ["Width K/4/SS GAN's"]))[0].splitlines()[1] == line


def test_a_part_does_not_overwrite_the_report_of_the_whole(tiny, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    records = RecordStore(Workspace.at(tmp_path / "workspace").results)
    for spec in load_suite(Path("suites/tiny.yaml")).specs.values():
        records.write(synthetic_record(spec))
    monkeypatch.setattr(sys, "argv", ["benchmark", "report", "suites/tiny.yaml", "--only", "Longer/GAN"])
    with pytest.raises(SystemExit):
        app.main()
    assert [path.name for path in Path("reports").iterdir()] == ["tiny-only"]
    assert "SS GAN" not in Path("reports/tiny-only/leaderboard.md").read_text()


def test_a_report_without_results_is_refused_and_keeps_the_one_before(tiny, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    page = Path("reports/tiny/leaderboard.md")
    page.parent.mkdir(parents=True)
    page.write_text("the report of yesterday")
    monkeypatch.setattr(sys, "argv", ["benchmark", "report", "suites/tiny.yaml", "--workspace", "mistyped"])
    with pytest.raises(SystemExit) as exit_info:
        app.main()
    assert exit_info.value.code == 2
    assert "mistyped: has no results of suites/tiny.yaml" in capsys.readouterr().err
    assert page.read_text() == "the report of yesterday"


@pytest.mark.parametrize("retrained", [0, 1])
def test_a_report_after_an_upgrade_names_the_records_of_the_version_before(
    tiny, monkeypatch, capsys, tmp_path, retrained
):
    """Without a word of explanation, a leaderboard of `not run` rows would replace the one before."""
    monkeypatch.chdir(tmp_path)
    suite = load_suite(Path("suites/tiny.yaml"))
    records, specs = RecordStore(Path("old/results")), list(suite.specs.values())
    records.folder.mkdir(parents=True)
    for spec in specs:
        of_before = spec.model_copy(update={"version": spec.version - 1})
        records.write(synthetic_record(of_before))
    for spec in specs[:retrained]:
        records.write(synthetic_record(spec))
    page = Path("reports/tiny/leaderboard.md")
    page.parent.mkdir(parents=True)
    page.write_text("the report of yesterday")
    command = ["benchmark", "report", "suites/tiny.yaml", "--workspace", "old"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as exit_info:
        app.main()
    said = " ".join(capsys.readouterr().err.split())
    assert f"{len(specs)} of recipe version {specs[0].version - 1}" in said
    assert "the release that made them reports them" in said
    assert exit_info.value.code == (0 if retrained else 2)
    assert (page.read_text() == "the report of yesterday") == (not retrained)


def test_looks_add_the_smallest_seeds_that_the_list_lacks_to_their_cells_only(small_suite):
    suite = load_suite(small_suite(seeds=[4, 0]))
    grown = suite.with_looks([(3, 5), ()], max_seeds=8)
    assert [[spec.seed for spec in cell.specs] for cell in grown.cells] == [[4, 0, 1, 2, 3], [4, 0]]
    assert [cell.looks for cell in grown.cells] == [(3, 5), ()]
    assert (grown.seeds, grown.max_seeds) == (suite.seeds, 8)
    assert grown.specs.keys() > suite.specs.keys()
    assert [spec.seed for spec in grown.specs.values()] == [4, 4, 0, 0, 1, 2, 3]
    assert grown.with_looks([(3,), ()], max_seeds=8) == suite.with_looks([(3,), ()], max_seeds=8)
