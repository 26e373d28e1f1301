"""What differences are made of, as a section of the report."""

import math
from collections.abc import Mapping, Sequence

from benchmark.analysis.leaderboard import LeaderboardRow
from benchmark.analysis.noise import MeasureVariant, NoiseGroup, NoiseSources, PooledNoise, noise_groups
from benchmark.report.text import escape_markdown, grid

ABOUT = (
    "How far a number moves when one thing alone changes. *Training*: the standard deviation over seeds, pooled over"
    " rows as if it were the same in all of them; it contains the drawing of samples. *Drawing of samples*: that over"
    " draws from one training, pooled over trials. *df*: degrees of freedom. *Told apart*: by the pooled deviation of"
    " training, for one pair of rows; of many pairs some look different by chance."
)
PAIRED = (
    " *a − b*: the same samples of each trial measured both ways, the mean difference ± its standard deviation over"
    " trials; its size is the root mean square."
)
DECIMALS = 6  # at most: what is smaller is shown as 0


def section(tables: Mapping[str, list[LeaderboardRow]]) -> list[str]:
    """A grid for each table in which any noise was measured; nothing where there is none.

    Rows of other data or of another protocol than those above them have a grid to themselves.
    """
    blocks, paired = [], False
    for title, members in tables.items():
        for part in noise_groups(members):
            sources = part.sources
            if not any(one.is_known for one in sources):
                continue
            some = "" if len(part.rows) == len(members) else f": {', '.join(row.label for row in part.rows)}"
            heading = [f"**{escape_markdown(title + some)}**"] if len(tables) > 1 or some else []
            blocks += [*heading, _grid(part, sources), "\n".join(_sentence(one) for one in sources if one.is_known)]
            paired = paired or bool(part.variants)
    return [ABOUT + PAIRED * paired, *blocks] if blocks else []


def _grid(part: NoiseGroup, sources: Sequence[NoiseSources]) -> str:
    lines = {
        "Training": [_scattered(one.training, "seed", one) for one in sources],
        "Drawing of samples": [_scattered(one.sampling, "draw", one) if one.sampling else "–" for one in sources],
        **{_explained(variant): [_shifted(one, variant) for one in sources] for variant in part.variants},
        "The best that can be shown": [
            escape_markdown(one.reference_line.label) if one.reference_line else "–" for one in sources
        ],
        "For scale: the means of the rows": [_range(one) for one in sources],
    }
    body = [[name, *cells] for name, cells in lines.items() if any(cell != "–" for cell in cells)]
    return grid(["", *(escape_markdown(one.output.title) for one in sources)], body, "l" + "r" * len(sources))


def _paired(variant: MeasureVariant) -> str:
    return f"`{variant.second}` − `{variant.first}`"


def _explained(variant: MeasureVariant) -> str:
    """`modes_raw` − `modes`: codec none, not jpeg."""
    key = variant.key.rpartition(".")[2]
    return f"{_paired(variant)}: {escape_markdown(f'{key} {variant.after}, not {variant.before}')}"


def _scattered(of: PooledNoise, word: str, one: NoiseSources) -> str:
    """`word`: for one value of a group, `seed` or `draw`."""
    if of.std is None:
        return (
            f"not known: one {word}" if all(len(group) < 2 for group in of.groups) else "not known: some are no numbers"
        )
    trials = sum(map(len, of.usable_groups)) if word == "seed" else len(of.usable_groups)
    return f"{_number(of.std, one)} ({_trials(trials)}, {of.degrees_of_freedom} df)"


def _shifted(one: NoiseSources, variant: MeasureVariant) -> str:
    if variant not in one.shifts:
        return "–"
    shift = one.shifts[variant]
    if shift is None:
        return "not known: no trial has both"
    spread = shift.std
    places = decimals(spread or shift.mean, one.output.decimals)
    shown = f"{shift.mean:+z.{places}f}" + ("" if spread is None else f" ± {spread:.{places}f}")
    return f"{shown} ({_trials(len(shift.differences))})"


def _range(one: NoiseSources) -> str:
    if not one.row_means:
        return "–"
    low, high, digits = min(one.row_means), max(one.row_means), one.output.decimals
    if len(one.row_means) == 1:
        return f"{low:.{digits}f} (1 row)"
    return f"{low:.{digits}f} to {high:.{digits}f} ({len(one.row_means)} rows)"


def _sentence(one: NoiseSources) -> str:
    """Which source is the largest, and which differences of rows the seeds can tell from chance."""
    sizes = {"training": one.training.std, "drawing of samples": one.sampling_std}
    sizes |= {_paired(variant): shift.rms for variant, shift in one.shifts.items() if shift}
    known = {name: size for name, size in sizes.items() if size is not None}
    words = []
    if len(known) > 1:
        name = max(known, key=lambda source: known[source])
        words.append(f"moved most by {name} ({_number(known[name], one)})")
    detectable = one.minimum_detectable_difference
    if detectable is None:
        words.append("which differences of rows are more than chance is not known")
    else:
        words.append(
            f"means over {one.seeds} seeds are told apart from a difference of {_number(detectable, one)} on (the"
            " half-width of its 95 % t-interval)"
        )
    return f"- **{escape_markdown(one.output.title)}**: {'; '.join(words)}."


def _trials(n: int) -> str:
    return f"{n:,} trial{'' if n == 1 else 's'}"


def _number(value: float, one: NoiseSources) -> str:
    return f"{value:.{decimals(value, one.output.decimals)}f}"


def decimals(value: float, least: int) -> int:
    """How many to show: `least`, and so many that two figures are seen of a small number."""
    if not value:
        return least
    return max(least, min(DECIMALS, 1 - math.floor(math.log10(abs(value)))))
