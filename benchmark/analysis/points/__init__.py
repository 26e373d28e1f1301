"""What methods make of points: their densities on a line, and the modes that they cover in the plane."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["coverage", "densities", "tables"]
