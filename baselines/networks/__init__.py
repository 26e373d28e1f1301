"""One file per family of networks, which `baselines.NETWORKS` registers by name, and the ResNet18 of a method."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["base", "resnet18"]
