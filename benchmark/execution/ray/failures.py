"""Why a worker died, in one line: Ray tells it in a page."""

from pathlib import Path

LONGEST = 300  # characters of a reason
KNOWN = {  # what Ray says, at length -> what we say
    "low on memory": "its machine ran out of memory, and Ray ended it",
    "node was terminated": "its node is gone",
    "node has died": "its node is gone",
    "is unavailable": "it, or its node, cannot be reached any more",
    "Worker unexpectedly exits": "its process was killed or crashed",
}
NO_REASON = "the worker ended without a word"
PREEMPTED = "its machine was taken away"


def failure_reason(error_file: str | None) -> str:
    """Why a worker died, in one line."""
    lines = Path(error_file).read_text().strip().splitlines() if error_file else []
    if any(PREEMPTED in line for line in lines):
        return PREEMPTED
    text = " ".join(lines[1:]).partition("Some common causes")[0]
    for sign, reason in KNOWN.items():
        if sign in text:
            return f"the worker died: {reason}"
    last = lines[-1].partition("Some common causes")[0].strip() if lines else "no reason was given"
    return f"the worker died: {last[:LONGEST]}"
