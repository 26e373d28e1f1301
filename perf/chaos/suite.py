"""The suite of the chaos test: methods of every kind on bundled images, with networks that train in seconds."""

from pathlib import Path
from typing import Any

import yaml

STEPS = 400
ROWS: dict[str, dict[str, Any]] = {
    "GAN": {"method": "gan"},
    "GAN, averaged": {"method": "gan", "average": {"decay": 0.999, "start": 100}},
    "SSGAN": {"method": "ssgan"},
    "MSGAN": {"method": "msgan"},
    "SSGAN-LA": {"method": "ssgan_la", "options": {"batches": "each_one_way"}},
    "Dist-GAN": {"method": "dist_gan"},
    "Self-labelling GAN": {"method": "self_labelling", "options": {"decay": 0.99, "threshold": 0.5}},
}


def write_suite(path: Path, seeds: int, steps: int = STEPS) -> Path:
    """Write the suite. Checkpoints are a second apart, or more where they would exceed 2 % of a trial's time."""
    suite = {
        "title": "Chaos test",
        "seeds": list(range(seeds)),
        "resources": {"cpus": 1, "retries": 2, "checkpoint_seconds": 1.0},
        "defaults": {
            "dataset": "stacked_digits",
            "network": "mlp",
            "network_options": {"generator_width": 32, "discriminator_width": 16},
            "latent": {"dim": 16, "distribution": "normal"},
            "steps": steps,
            "batch_size": 16,
            "optimizer": {"lr": 1e-3, "betas": [0.0, 0.9]},
            "protocol": {
                "measures": {"modes": {"n_fake": 2560}},
                "evaluations": 4,
                "sample_batch": 640,
            },
        },
        "tables": [{"title": "Methods", "rows": ROWS}],
        "scales": {"quick": {}},
    }
    path.write_text(yaml.safe_dump(suite, sort_keys=False))
    return path
