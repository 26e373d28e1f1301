"""The figures of a report: the only room that imports matplotlib."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["draw"]
