"""One file per metric, and the base classes in `base`. A suite names a metric by its key in the registry."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["base", "fid", "inception_score", "kid", "modes", "precision_recall"]
