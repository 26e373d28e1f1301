"""Layers that several network families share."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["batch_norm", "conditional", "memory_format", "resample_conv", "residual", "tf_same"]
