"""Turns records into reports: Markdown, CSV, JSON, terminal tables and figures."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["compare", "render", "results_csv", "text"]
