"""What methods share: the base classes, adversarial losses, transformations, augmentation, random streams, weight
average; and the limit distributions of methods in theory."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["classifier", "ema", "limits", "losses", "method", "randaugment", "random_streams", "transformations"]
