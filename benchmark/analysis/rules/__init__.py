"""How measured values are compared with a published one: pure functions of numbers, vectorised over simulated cells."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["best_of", "difference", "selection", "uncertainty"]
