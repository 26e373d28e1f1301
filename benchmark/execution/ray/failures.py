"""Why a worker died, in one line: Ray's own explanation fills a page."""

from pathlib import Path

MAX_LENGTH = 300  # characters of a reason
KNOWN = {  # a phrase of Ray's explanation -> our wording
    "low on memory": "its machine ran out of memory, and Ray ended it",
    "node was terminated": "its node is gone",
    "node has died": "its node is gone",
    "is unavailable": "it, or its node, cannot be reached any more",
    "Worker unexpectedly exits": "its process was killed or crashed",
}
NO_RECORD = "the worker ended without a record"
PREEMPTED = "its machine was taken away"


def failure_reason(error_file: str | None) -> str:
    """Why a worker died, from the error file of Ray Tune."""
    lines = Path(error_file).read_text().strip().splitlines() if error_file else []
    if any(PREEMPTED in line for line in lines):
        return PREEMPTED
    explanation = " ".join(lines[1:]).partition("Some common causes")[0]
    for phrase, reason in KNOWN.items():
        if phrase in explanation:
            return f"the worker died: {reason}"
    last_line = lines[-1].partition("Some common causes")[0].strip() if lines else "no reason was given"
    return f"the worker died: {last_line[:MAX_LENGTH]}"
