"""Turns generated images, or a discriminator, into metric values under a protocol."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["codecs", "discriminator_evaluator", "references", "sample_evaluator"]
