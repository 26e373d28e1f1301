"""Errors for users. A message states the problem, its place and the remedy."""

import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

MAX_LINE = 1200  # characters in a line of a message


class UserError(Exception):
    """Bad input. The command line prints the message, changes nothing and exits with code 2."""


class ClusterLost(Exception):  # noqa: N818 - not a mistake of the code
    """The Ray cluster went away. Results and checkpoints are kept; the command line exits with code 1."""


class ResultsNotStored(Exception):  # noqa: N818 - nothing is lost yet
    """The disk refused a result or the report. The command line prints the message and exits with code 1."""


def is_control_char(character: str) -> bool:
    """Whether a character moves a terminal's cursor, changes the direction of text or cannot be printed at all."""
    direction = unicodedata.bidirectional(character)
    changes_direction = direction in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    return changes_direction or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def printable(text: str) -> str:
    """The text with control characters escaped (\\x1b, \\u202e, \\udcff) and overlong lines shortened."""
    escaped = "".join(repr(c)[1:-1] if is_control_char(c) and c != "\n" else c for c in text)
    lines = escaped.split("\n")
    return "\n".join(line if len(line) <= MAX_LINE else f"{line[:700]} ... {line[-300:]}" for line in lines)


def closest_match(word: object, known: Iterable[str]) -> str | None:
    """The known name most similar to `word`, or None if none is similar."""
    by_folded_name = {name.lower().replace("-", "_"): name for name in known}
    matches = get_close_matches(str(word).lower().replace("-", "_"), by_folded_name, n=1, cutoff=0.5)
    return by_folded_name[matches[0]] if matches else None


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the closest known name, else all known names."""
    names = sorted(known)
    closest = closest_match(word, names)
    if closest is not None:
        return f"did you mean '{closest}'?"
    return f"known: {', '.join(names) if names else 'none'}"


@contextmanager
def with_location(location: str) -> Iterator[None]:
    """Prefix the message of a UserError raised inside the block with a location."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{location}: {error}") from None
