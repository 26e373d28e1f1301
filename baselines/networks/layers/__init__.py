"""Layers and initialisations that several network families share.

Several layers replace a plain composition of torch layers by an equivalent that is faster on a CPU; docs/performance.md
has the measurements. They differ from the plain composition by rounding only.
"""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = [
    "batch_norm", "conditional", "initialisation", "memory_format", "precision", "resample_conv", "residual",
    "spectral_norm", "tf_same",
]  # fmt: skip
