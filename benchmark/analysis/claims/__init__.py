"""Claims of papers, tested on the trainings of a suite: paired tests over seeds, quantifiers, verdicts."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["power", "results", "verdicts"]
