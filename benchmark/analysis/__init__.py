"""Statistics and verdicts over records. Pure functions: no torch, no files, no printing."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = [
    "aggregate",
    "compare",
    "improvement",
    "leaderboard",
    "mode_counts",
    "noise",
    "ordering",
    "power",
    "reproduction",
    "sequential",
    "verdicts",
]
