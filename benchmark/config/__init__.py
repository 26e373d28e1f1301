"""From YAML to a validated suite: reading files with positions, merging recipes, defaults and rows, and the published
tables.
"""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["cells", "claims", "published", "recipes", "schema", "suite"]
