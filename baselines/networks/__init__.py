"""One file per family of networks; `baselines.NETWORKS` registers them by name."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["base"]
