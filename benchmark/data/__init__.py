"""Images and points: the dataset contract, raw files, preparation as memory-mapped arrays, sampling of batches."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["acquire", "arrays", "base", "manifest", "prepared", "reference", "sampler", "verify"]
