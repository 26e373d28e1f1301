"""Measurements, and a storm. Each is a module that is run by hand: `python -m perf.images`."""
