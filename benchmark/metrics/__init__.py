"""Metrics: one file each, written as features -> statistics -> value."""

METRICS = {
    "linear_probe": "benchmark.metrics.linear_probe:LinearProbe",
    "modes": "benchmark.metrics.modes:Modes",
    "rotation_accuracy": "benchmark.metrics.rotation_accuracy:RotationAccuracy",
}
