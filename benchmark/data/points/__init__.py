"""One file per family of datasets of points, which a suite names by its key in the registry."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["base"]
