"""What every other room may use: the trial specification, the protocol, the registry of plug-ins, errors and files."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["environment", "errors", "files", "memory", "precision", "protocol", "registry", "spec"]
