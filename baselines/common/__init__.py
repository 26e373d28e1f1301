"""What methods share: the base class, adversarial losses, rotations, random streams and the weight average."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["ema", "losses", "method", "random_streams", "rotations"]
