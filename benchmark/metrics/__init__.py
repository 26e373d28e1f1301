"""Metrics: one file each, written as features -> statistics -> value."""

METRICS = {
    "fid": "benchmark.metrics.fid:FID",
    "isc": "benchmark.metrics.isc:ISC",
    "kid": "benchmark.metrics.kid:KID",
    "modes": "benchmark.metrics.modes:Modes",
    "prc": "benchmark.metrics.prc:PRC",
}
