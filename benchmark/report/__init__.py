"""Renders what is stored as Markdown, CSV, JSON, terminal tables and figures. It reads records and never trains."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["compare", "render", "results_csv", "text"]
