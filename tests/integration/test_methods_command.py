"""`methods` and `methods NAME`: what there is, and every constant of a recipe with its source."""

import json
import re
import sys
from functools import cache
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from benchmark.cli import app, methods
from benchmark.config import recipes as recipes_module
from benchmark.config.recipes import NOT_STATED, cell_constants, recipes_of
from benchmark.config.suite import load_suite
from benchmark.core import registry
from benchmark.core.errors import UserError

SUITES = Path("suites")
load_once = cache(load_suite)
LOCATION = re.compile(r"(suites/\S+\.yaml:\d+|default)")


@pytest.fixture(autouse=True)
def _every_suite_is_loaded_once(monkeypatch):
    monkeypatch.setattr(recipes_module, "load_suite", load_once)


def command(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["benchmark", "methods", *arguments])
    with pytest.raises(SystemExit) as ended:
        app.main()
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def leaves(values, here=""):
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{here}{key}.")
        else:
            yield f"{here}{key}", value


# --- recipes -------------------------------------------------------------------------------------------


def test_every_constant_of_every_shipped_recipe_has_a_source(method_name):
    for recipe in recipes_of(method_name, None, SUITES):
        for key, constant in recipe.constants.items():
            assert constant.source.strip(), key
            assert constant.source != NOT_STATED, f"{key} of {recipe.uses[0]}"
            assert LOCATION.fullmatch(constant.where), key


@pytest.fixture(params=list(registry.methods))
def method_name(request):
    return request.param


@pytest.mark.parametrize("path", sorted(SUITES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_constants_are_the_whole_trial_but_seed_and_version(path):
    for cell in load_once(path).cells:
        trial = cell.specs[0].model_dump(mode="json", exclude={"seed", "version"})
        assert {key: constant.value for key, constant in cell_constants(cell).items()} == dict(leaves(trial))


def test_a_constant_names_who_sets_it():
    (recipe, *_) = recipes_of("dist_gan_ms", "stacked_mnist", SUITES)
    text = Path("suites/recipes/msgan_stacked_mnist.yaml").read_text().splitlines()
    line = next(n for n, content in enumerate(text, 1) if content.startswith("optimizer:"))
    betas = recipe.constants["optimizer.betas"]
    assert betas.value == [0.5, 0.9]
    assert betas.where == f"suites/recipes/msgan_stacked_mnist.yaml:{line}"
    assert betas.source == "tntrung/msgan@8b8170f msdistgan_mnist1k.py:118-126"
    assert recipe.constants["options.penalty"].where == "default"
    assert recipe.constants["options.penalty"].source == "tntrung/msgan@8b8170f msdistgan.py:320-336 (MS-02)"
    assert recipe.constants["steps"].value == 200_000, "the scale `paper`"
    assert "139-163" in recipe.constants["options.weight_d"].source


def test_a_recipe_of_two_suites_is_listed_once():
    k4, k2, *switched = recipes_of("dist_gan_ms", "stacked_mnist", SUITES)
    assert [(use.suite, use.table, use.row, use.scale) for use in k4.uses] == [
        ("neurips2019", "Table 3, Stacked-MNIST, K/4", "Dist-GAN + MS", "paper"),
        ("stacked_mnist", "K/4, MSGAN's networks", "Dist-GAN + MS", "paper"),
        ("stacked_mnist", "K/4, one switch at a time", "Dist-GAN + MS", "paper"),
    ]
    assert len(switched) == 4
    assert (k4.constants["network_options.k"].value, k2.constants["network_options.k"].value) == (4, 2)


def test_a_default_without_description_says_where_to_look(tmp_path, small_suite, monkeypatch):
    field = registry.methods["ssgan"].Options.model_fields["weight_g"]
    monkeypatch.setattr(field, "description", None)
    small_suite()
    (recipe,) = recipes_of("ssgan", None, tmp_path)
    assert recipe.constants["options.weight_g"].source == "default of ssgan, see baselines/methods/ssgan.py"
    assert recipe.constants["optimizer.eps"].source == "torch.optim.Adam's default"
    assert recipe.constants["steps"].source == NOT_STATED
    assert recipe.constants["dataset"].source == registry.datasets["stacked_digits"].source
    assert recipe.constants["network"].source == "see baselines/networks/mlp.py"


def test_paper_is_preferred_among_scales(tmp_path, small_suite):
    small_suite(scales={"quick": {"cell": {"steps": 3}}, "paper": {}})
    (recipe,) = recipes_of("gan", None, tmp_path)
    assert (recipe.uses[0].scale, recipe.constants["steps"].value) == ("paper", 6)


def test_without_suites_the_message_says_where_to_run(tmp_path):
    with pytest.raises(UserError, match="run this in the repository"):
        recipes_of("gan", None, tmp_path / "none")
    with pytest.raises(UserError, match=r"no suite in .* trains method 'gan'; name it in a row"):
        recipes_of("gan", None, tmp_path)


# --- the command ---------------------------------------------------------------------------------------


def test_the_json_list_has_the_basis_of_each_method(monkeypatch, capsys):
    code, said, _ = command(monkeypatch, capsys, "--json")
    found = json.loads(said)
    assert code == 0
    assert list(found) == list(registry.methods)
    assert found["self_labelling"]["basis"] == "derived-from-abstract"
    assert found["msgan"]["basis"] == "official-code"
    assert (found["msgan"]["classes"], found["gan"]["classes"]) == (5, 0)
    assert found["dist_gan"]["roles"] == ["discriminator", "encoder", "generator"]


def test_a_method_is_printed_with_its_recipes(monkeypatch, capsys):
    code, said, _ = command(monkeypatch, capsys, "dist_gan_ms", "--dataset", "stacked_mnist")
    assert code == 0
    for words in (
        "Dist-GAN + MS (dist_gan_ms)",
        "the official code",
        "encoder, discriminator, generator",
        "5 classes",
        "recipe 1 of 6, on stacked_mnist",
        "suite neurips2019, table Table 3, Stacked-MNIST, K/4, row Dist-GAN + MS, scale paper",
        "suite stacked_mnist, table K/4, MSGAN's networks, row Dist-GAN + MS, scale paper",
        "msdistgan_mnist1k.py:139-163",
    ):
        assert words in said
    assert "seed" not in said
    assert "stacked_digits" not in said


def test_an_abstract_is_named_as_the_basis(monkeypatch, capsys):
    _, said, _ = command(monkeypatch, capsys, "self_labelling")
    assert "the paper's abstract and quoted settings; neither code nor full text was available" in said


def test_a_recipe_as_json_is_the_same(monkeypatch, capsys):
    code, said, _ = command(monkeypatch, capsys, "msgan", "--json")
    found = json.loads(said)
    assert code == 0
    assert found["title"] == "MSGAN"
    assert found["recipes"] == json.loads(json.dumps([r.as_json() for r in recipes_of("msgan", None, SUITES)]))
    assert found["recipes"][0]["constants"]["batch_size"].keys() == {"value", "source", "where"}


def test_it_is_readable_at_100_columns(method_name):
    recipes = recipes_of(method_name, None, SUITES)
    console = Console(width=100)
    with console.capture() as captured:
        console.print(*methods.render(method_name, recipes, SUITES), sep="\n")
    lines = captured.get().splitlines()
    assert max(map(cell_len, lines)) <= 100
    assert "…" not in "".join(lines)
    for key in recipes[0].constants:
        *groups, name = key.split(".")
        assert any(line.startswith(f"{'  ' * len(groups)}{name} ") for line in lines), key
        assert all(any(line.rstrip() == f"{'  ' * d}{group}" for line in lines) for d, group in enumerate(groups)), key
    sources = {word for recipe in recipes for constant in recipe.constants.values() for word in constant.source.split()}
    cut = [word for word in sources if len(word) <= 28 and not any(word in line for line in lines)]
    assert not cut, "words that were broken in two"


@pytest.mark.parametrize(
    "text, width, expected",
    [
        ("msgan_stacked_mnist", 14, "msgan_stacked_\nmnist"),
        ("recipes/msgan_stacked_mnist.yaml:4", 22, "recipes/msgan_stacked_\nmnist.yaml:4"),
        ("moving_average", 14, "moving_average"),
        ("x" * 9, 4, "xxxx\nxxxx\nx"),
    ],
)
def test_long_names_are_folded_at_their_joints(text, width, expected):
    assert methods.fold(text, width) == expected
    assert methods.fold(text, width).replace("\n", "") == text


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["mgan"], "unknown method 'mgan'; did you mean 'msgan'?"),
        (["msgan", "--dataset", "stacked_digit"], "unknown dataset 'stacked_digit'; did you mean 'stacked_digits'?"),
        (
            ["msgan", "--dataset", "svhn"],
            "trains method 'msgan' on 'svhn'; it is trained on: celeba, cifar10,",
        ),
        (["--dataset", "stacked_mnist"], "--dataset: also name the method"),
    ],
)
@pytest.mark.parametrize("for_scripts", [[], ["--json"]])
def test_bad_names_end_with_code_2(monkeypatch, capsys, arguments, expected, for_scripts):
    code, said, complained = command(monkeypatch, capsys, *arguments, *for_scripts)
    assert (code, said) == (2, "")
    assert expected in complained
