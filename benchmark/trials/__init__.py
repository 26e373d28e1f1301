"""One trial, from its job to its record."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["build", "job", "make_jobs", "process", "runner", "samples", "seed_group"]
