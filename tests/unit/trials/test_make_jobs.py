"""The order of jobs whose seeds are trained as one model."""

from benchmark.trials.make_jobs import group_seeds
from tests.support.examples import spec_of


def test_seeds_of_a_cell_are_adjacent_and_first_groups_of_all_cells_come_first():
    cells = [
        spec_of("gan", "mlp", "stacked_digits", optimizer={"lr": lr, "betas": [0.0, 0.9]}).with_seeds(range(5))
        for lr in (0.1, 0.2)
    ]
    specs = [spec for seeds in zip(*cells, strict=True) for spec in seeds]
    assert group_seeds(specs, 1) == specs
    assert [(spec.optimizer.lr, spec.seed) for spec in group_seeds(specs, 2)] == [
        *((0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1)),
        *((0.1, 2), (0.1, 3), (0.2, 2), (0.2, 3)),
        *((0.1, 4), (0.2, 4)),
    ]
