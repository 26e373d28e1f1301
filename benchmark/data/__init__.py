"""Images: the contract of a dataset, preparing it once as memory-mapped arrays, and sampling training batches."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["arrays", "base", "manifest", "prepared", "reference", "sampler"]
