"""Metrics: one file each, written as features -> statistics -> value."""

METRICS = {
    "fid": "benchmark.metrics.fid:FID",
    "isc": "benchmark.metrics.isc:ISC",
    "kid": "benchmark.metrics.kid:KID",
    "linear_probe": "benchmark.metrics.linear_probe:LinearProbe",
    "modes": "benchmark.metrics.modes:Modes",
    "prc": "benchmark.metrics.prc:PRC",
    "rotation_accuracy": "benchmark.metrics.rotation_accuracy:RotationAccuracy",
}
