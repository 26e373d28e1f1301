"""What methods share: the base class, adversarial losses, rotations, augmentation, random streams, weight average."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["ema", "losses", "method", "randaugment", "random_streams", "transformations"]
