"""The suites of MSGAN and SSGAN train what the papers' tables state, under protocols that allow a verdict."""

import re
from pathlib import Path

import pytest

from benchmark.analysis.verdicts import protocol_mismatches
from benchmark.config.suite import load_suite
from benchmark.planning.looks import require_judged

UNSTATED = "Section 5.2, CelebA 64x64, SSGAN+"  # the paper states no protocol of this FID


@pytest.fixture(scope="module", params=["neurips2019", "cvpr2019"])
def suite(request):
    return load_suite(Path(f"suites/{request.param}.yaml"), "paper")


def test_every_published_value_with_a_stated_protocol_can_be_judged(suite):
    mismatches = {
        (cell.table, cell.row, key): protocol_mismatches(cell.published, cell.specs[0], key)
        for cell in suite.cells
        if cell.published
        for key in cell.published.values
    }
    assert {table for (table, _, _), reasons in mismatches.items() if reasons} <= {UNSTATED}
    assert len(mismatches) > 30


def test_every_published_row_of_a_headline_value_is_verified(suite):
    published = [cell.published for cell in suite.cells if cell.published]
    assert {reference.value(key).status for reference in published for key in reference.values} == {"verified"}


def cells_of(name, table):
    suite = load_suite(Path(f"suites/{name}.yaml"), "paper")
    return {cell.row: cell for cell in suite.cells if cell.table.startswith(table)}


def test_the_settings_of_table_2_are_those_of_its_labels():
    """λ 0 with spectral norm, or λ 1 or 10 without; betas; updates of the discriminator; with and without the task."""
    cells = cells_of("cvpr2019", "Table 2")
    assert len(cells) == 18
    pattern = r"(SN|GP λ (\d+)), β (\S+) and (\S+), (\d) D steps?: (Uncond-GAN|SS-GAN)"
    for row, cell in cells.items():
        penalty, weight, beta1, beta2, steps, method = re.fullmatch(pattern, row).groups()
        spec = cell.specs[0]
        assert spec.options["lambda_gp"] == float(weight or 0)
        assert spec.network_options["spectral_norm"] == (penalty == "SN")
        assert spec.optimizer.betas == (float(beta1), float(beta2))
        assert spec.discriminator_steps == int(steps)
        assert spec.method == {"Uncond-GAN": "gan", "SS-GAN": "ssgan"}[method]
        assert (spec.steps, spec.batch_size, spec.options["game"]) == (100_000, 64, "hinge")
    assert len({spec.trial_id for cell in cells.values() for spec in cell.specs}) == 18 * 5


def test_tables_of_ssgan_share_their_trainings():
    table1, table2, table3 = (cells_of("cvpr2019", f"Table {n}") for n in (1, 2, 3))
    assert set(table3) == set(table1) - {"SS-GAN"} | {"Rot-only"}
    (alone,) = {spec.method for spec in table3.pop("Rot-only").specs}
    assert alone == "rotation_classifier"
    assert all(table1[row].specs == cell.specs for row, cell in table3.items())
    for row in ("Uncond-GAN", "SS-GAN"):
        assert table2[f"SN, β 0 and 0.9, 2 D steps: {row}"].specs == table1[row].specs
        assert "linear_probe" not in table2[f"SN, β 0 and 0.9, 1 D step: {row}"].specs[0].protocol.measures


def test_stacked_mnist_is_trained_as_often_as_in_the_paper():
    assert {len(cell.specs) for cell in cells_of("neurips2019", "Table 3").values()} == {8}
    assert {len(cell.specs) for cell in cells_of("neurips2019", "Table 1").values()} == {5}


def test_ssgan_plus_has_the_best_settings_of_the_paper():
    for table in ("Table 1, CIFAR-10, SSGAN+", "Section 5.2"):
        for cell in cells_of("neurips2019", table).values():
            spec = cell.specs[0]
            assert (spec.discriminator_steps, spec.optimizer.betas, spec.steps) == (10, (0.5, 0.999), 300_000)
            assert (spec.network_options["spectral_norm"], spec.options["lambda_gp"]) == (True, 0.0)
            assert (spec.options["weight_d"], spec.options["weight_g"]) == (1.0, 0.2)


def test_run_until_decided_accepts_the_suite(suite):
    """Every judged metric has a tolerance: without one, no number of seeds gives `reproduced`."""
    require_judged(suite, max_seeds=10)
