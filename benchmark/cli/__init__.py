"""The command line: one module per command, the options that commands share, and how errors become messages."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = ["app"]
