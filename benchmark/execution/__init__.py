"""Running a suite: the steps of one `run`, the runners that train trials, retries, storing results, stop signals,
sharing work between runs, and files on remote storage.
"""

# The modules that other rooms may import; all others are private to this room.
PUBLIC = [
    "events",
    "live_view",
    "remote_storage",
    "rerun",
    "retries",
    "signals",
    "streams",
    "suite_run",
    "worker_files",
]
