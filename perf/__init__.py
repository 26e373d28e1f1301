"""Measurements of speed and the chaos test. Each is run by hand, for example `python -m perf.images`."""
