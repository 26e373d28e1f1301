"""Metrics: one file each, written as features -> statistics -> value."""

METRICS = {
    "modes": "benchmark.metrics.modes:Modes",
}
