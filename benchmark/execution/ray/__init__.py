"""Everything that imports Ray: the driver that feeds Ray Tune, the workers that train, and the cluster."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["cluster", "driver", "scratch"]
