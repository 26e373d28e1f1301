"""Metrics of classifiers on held-out real images: accuracy on tasks in turn, and the loss of a simulated generator."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC: list[str] = []
