"""The sections of the page, as blocks of Markdown: tables, claims, figures, seeds, noise, modes, provenance."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["claims", "figures", "modes", "noise", "provenance", "published_tables", "seeds"]
