"""The basis of all other rooms: the trial specification, the protocol, the plug-in registries, errors and files."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["environment", "errors", "files", "memory", "precision", "protocol", "registry", "spec"]
