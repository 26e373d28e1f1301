"""Shared by all tests: one thread, deterministic hypothesis, and small suites in temporary folders."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import settings

pytest_plugins = ["tests.support.trial_fixtures"]
torch.set_num_threads(1)
# no deadlines, which fail on a busy machine; and the same examples in every run
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)  # pytest --hypothesis-profile search: other examples each time
settings.load_profile("steady")

SMALL = {
    "title": "Small",
    "seeds": [0, 1],
    "defaults": {
        "dataset": "stacked_digits",
        "network": "mlp",
        "network_options": {"generator_width": 16, "discriminator_width": 8},
        "latent": {"dim": 4, "distribution": "normal"},
        "steps": 6,
        "batch_size": 8,
        "optimizer": {"lr": 1e-3, "betas": [0.0, 0.9]},
        "protocol": {"measures": {"modes": {"n_fake": 100}}, "evaluations": 2, "sample_batch": 64},
    },
    "tables": [{"title": "Digits", "rows": {"GAN": {"method": "gan"}, "SSGAN": {"method": "ssgan"}}}],
    "scales": {"quick": {}},
}


@pytest.fixture
def small_suite(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small, valid suite to a temporary folder; keywords replace its top-level keys."""

    def write(name: str = "small", **changes: object) -> Path:
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**SMALL, **changes}, sort_keys=False))
        return path

    return write
