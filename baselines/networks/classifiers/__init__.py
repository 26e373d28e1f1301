"""Networks of methods without a generator; `baselines.NETWORKS` registers them by name."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC: list[str] = []
