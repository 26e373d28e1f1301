"""The section of the report that compares the sources of variation: training, sampling, and choices of the protocol."""

import math
from collections.abc import Mapping

from benchmark.analysis.leaderboard import LeaderboardRow
from benchmark.analysis.noise import MeasureVariant, NoiseGroup, NoiseSources, PooledNoise, noise_groups
from benchmark.report.text import escape_markdown, grid

ABOUT = (
    "How much a value changes if a single thing changes. *Training* is the standard deviation over seeds, pooled over"
    " rows as if all had the same variance; it includes sampling. *Sampling* is the standard deviation over repeated"
    " sampling from one training, pooled over trials. *df*: degrees of freedom. The *minimum detectable difference* of"
    " two rows is the half-width of the 95 % t-interval of the difference of their means, from the pooled standard"
    " deviation of training. It holds for a single pair of rows; among many pairs, some differ by chance."
)
LOTTERY = (
    "The FID of one recipe usually varies by 1 to 2 % between trainings: retraining moves it 3.2 times as much as"
    ' resampling, and gaps under 1.3 % are no evidence ("The FID Lottery", 2026, arXiv:2606.20536).'
)
PAIRED = (
    " *a − b* measures the same samples of each trial in both ways: the mean difference ± its standard deviation over"
    " trials. Its size is the root mean square."
)
DECIMALS = 6  # at most; smaller values are shown as 0


def section(tables: Mapping[str, list[LeaderboardRow]]) -> list[str]:
    """A grid for each group of rows with one protocol in which any noise is known; empty if none is."""
    blocks, has_variants = [], False
    for title, members in tables.items():
        for group in noise_groups(members):
            known = [source for source in group.sources if source.is_known]
            if not known:
                continue
            rows = "" if len(group.rows) == len(members) else f": {', '.join(row.label for row in group.rows)}"
            if len(tables) > 1 or rows:
                blocks.append(f"**{escape_markdown(title + rows)}**")
            blocks += [_grid(group), "\n".join(map(_summary, known))]
            has_variants = has_variants or bool(group.variants)
    return [f"{ABOUT} {LOTTERY}" + PAIRED * has_variants, *blocks] if blocks else []


def _grid(group: NoiseGroup) -> str:
    """One column per output, one line per source."""
    sources = group.sources
    lines = {
        "Training": [_pooled(source, source.training, "seed") for source in sources],
        "Sampling": [_pooled(source, source.sampling, "draw") for source in sources],
        **{_variant_label(variant): [_shift(source, variant) for source in sources] for variant in group.variants},
        "Best possible value": [
            escape_markdown(source.reference_line.label) if source.reference_line else "–" for source in sources
        ],
        "Range of the row means": [_range(source) for source in sources],
    }
    body = [[name, *cells] for name, cells in lines.items() if any(cell != "–" for cell in cells)]
    header = ["", *(escape_markdown(source.output.title) for source in sources)]
    return grid(header, body, "l" + "r" * len(sources))


def _variant_name(variant: MeasureVariant) -> str:
    return f"`{variant.second}` − `{variant.first}`"


def _variant_label(variant: MeasureVariant) -> str:
    """`modes_raw` − `modes`: codec none instead of jpeg."""
    key = variant.key.rpartition(".")[2]
    return f"{_variant_name(variant)}: {escape_markdown(f'{key} {variant.after} instead of {variant.before}')}"


def _pooled(source: NoiseSources, noise: PooledNoise | None, unit: str) -> str:
    """The pooled standard deviation. `unit`: of one value of a group."""
    if noise is None:
        return "–"
    if noise.std is None:
        is_single = all(len(group) < 2 for group in noise.groups)
        return f"unknown: one {unit}" if is_single else "unknown: some values are not finite"
    trials = sum(map(len, noise.usable_groups)) if unit == "seed" else len(noise.usable_groups)
    return f"{_number(noise.std, source)} ({_trials(trials)}, {noise.degrees_of_freedom} df)"


def _shift(source: NoiseSources, variant: MeasureVariant) -> str:
    if variant not in source.shifts:
        return "–"
    shift = source.shifts[variant]
    if shift is None:
        return "unknown: no trial has both"
    places = decimals(shift.std or shift.mean, source.output.decimals)
    std = "" if shift.std is None else f" ± {shift.std:.{places}f}"
    return f"{shift.mean:+z.{places}f}{std} ({_trials(len(shift.differences))})"


def _range(source: NoiseSources) -> str:
    if not source.row_means:
        return "–"
    low, high, places = min(source.row_means), max(source.row_means), source.output.decimals
    if len(source.row_means) == 1:
        return f"{low:.{places}f} (1 row)"
    return f"{low:.{places}f} to {high:.{places}f} ({len(source.row_means)} rows)"


def _summary(source: NoiseSources) -> str:
    """The largest source, and the minimum detectable difference."""
    sizes = {"training": source.training.std, "sampling": source.sampling_std}
    sizes |= {_variant_name(variant): shift.rms for variant, shift in source.shifts.items() if shift}
    known = {name: size for name, size in sizes.items() if size is not None}
    parts = []
    if len(known) > 1:
        name = max(known, key=lambda name: known[name])
        parts.append(f"the largest source is {name} ({_number(known[name], source)})")
    detectable = source.minimum_detectable_difference
    if detectable is None:
        parts.append("the minimum detectable difference is unknown")
    else:
        seeds = f"with {source.seeds} seeds per row"
        parts.append(f"the minimum detectable difference {seeds} is {_number(detectable, source)}")
    return f"- **{escape_markdown(source.output.title)}**: {'; '.join(parts)}."


def _trials(n: int) -> str:
    return f"{n:,} trial{'' if n == 1 else 's'}"


def _number(value: float, source: NoiseSources) -> str:
    return f"{value:.{decimals(value, source.output.decimals)}f}"


def decimals(value: float, least: int) -> int:
    """The decimals of a value: at least `least`, and enough for two significant digits, up to DECIMALS."""
    if not value:
        return least
    return max(least, min(DECIMALS, 1 - math.floor(math.log10(abs(value)))))
