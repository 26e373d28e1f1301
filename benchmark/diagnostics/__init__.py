"""Checks of an installation (`doctor`) and of the metrics (`doctor --metrics`)."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["doctor", "metrics"]
