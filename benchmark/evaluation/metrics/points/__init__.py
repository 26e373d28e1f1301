"""Metrics of points, one file each, and their base class in `base`. They take the extractor `coordinates` only."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["density_peak", "mixture", "point_moments", "polynomial_mmd"]
