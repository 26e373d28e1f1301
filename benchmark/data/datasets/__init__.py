"""One file per dataset. A suite names a dataset by its key in the registry."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["cifar"]
