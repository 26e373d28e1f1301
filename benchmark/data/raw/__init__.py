"""Raw files as their authors publish them: downloading, importing, verifying and decoding."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = [
    "archive",
    "checksums",
    "decode",
    "download",
    "fetch",
    "image_tree",
    "import_files",
    "pickle_reader",
    "sources",
    "verify",
]
