"""Errors for people: what is wrong, where, and what to do about it."""

import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

LONGEST = 1200  # characters in a line of a message


class UserError(Exception):
    """Bad input. The command line prints the message, changes nothing and exits with code 2."""


class ClusterLost(Exception):  # noqa: N818 - nobody's mistake
    """What trials ran on went away. Results and checkpoints are kept; the command line exits with code 1."""


class ResultsNotStored(Exception):  # noqa: N818 - nothing is lost yet
    """A disk refused what was to be kept. The command line prints the message and exits with code 1."""


def is_control_char(character: str) -> bool:
    """Whether it moves a terminal's cursor, turns the direction of text round, or cannot be printed at all."""
    turns = unicodedata.bidirectional(character) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    return turns or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def printable(text: str) -> str:
    """The text with what could steer a terminal written out (\\x1b, \\u202e, \\udcff), and endless lines cut short."""
    shown = "".join(repr(c)[1:-1] if is_control_char(c) and c != "\n" else c for c in text)
    return "\n".join(one if len(one) <= LONGEST else f"{one[:700]} ... {one[-300:]}" for one in shown.split("\n"))


def closest_match(word: object, known: Iterable[str]) -> str | None:
    """The known spelling nearest to `word`, or None when nothing is near."""
    by_folded = {name.lower().replace("-", "_"): name for name in known}
    hits = get_close_matches(str(word).lower().replace("-", "_"), by_folded, n=1, cutoff=0.5)
    return by_folded[hits[0]] if hits else None


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest spelling, else all that is known."""
    names = sorted(known)
    near = closest_match(word, names)
    if near is not None:
        return f"did you mean '{near}'?"
    return f"known: {', '.join(names) if names else 'none'}"


@contextmanager
def with_location(where: str) -> Iterator[None]:
    """Puts the place in front of a UserError raised inside."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
