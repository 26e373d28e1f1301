"""Images: the dataset contract, raw files, preparation as memory-mapped arrays, and sampling of training batches."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["acquire", "arrays", "base", "manifest", "prepared", "reference", "sampler", "verify"]
