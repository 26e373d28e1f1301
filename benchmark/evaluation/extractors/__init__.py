"""One file per feature extractor, and the base class in `base`."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["base", "digits", "inception", "weights"]
