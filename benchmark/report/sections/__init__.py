"""The sections of the page, as blocks of Markdown: published tables, figures, seeds, noise, modes, provenance."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["figures", "modes", "noise", "provenance", "published_tables", "seeds"]
