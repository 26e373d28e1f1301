"""The sections of the page, as blocks of Markdown: published tables, seeds, noise, modes, provenance."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["modes", "noise", "provenance", "published_tables", "seeds"]
