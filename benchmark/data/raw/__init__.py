"""Raw files as their authors publish them: download, import, checksums, archives and decoding. Knows no dataset."""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = [
    "archive",
    "checksums",
    "decode",
    "download",
    "examples",
    "file_states",
    "folder_layout",
    "image_tree",
    "import_files",
    "pickle_reader",
]
