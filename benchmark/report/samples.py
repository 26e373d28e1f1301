"""Contact sheets: real images beside those of every method."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from benchmark.report import figures, text
from benchmark.report.figures import INK, WIDTH
from benchmark.report.tables import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

SIDE = 8  # images along each side of a sheet in a record
SHOWN = 5  # images along each side that are drawn, so that one can look at them
GAP = 6  # screen pixels between them
COLUMNS = 5


@dataclass(frozen=True)
class Sheet:
    """One square of images with its title; `colour` frames a method in its own colour."""

    title: str
    image: "Image"
    colour: str


def sheets(tables: Mapping[str, list[Row]], real: Mapping[str, bytes]) -> "Figure | None":
    """Per table: real images of its datasets, then each method's first seed that has samples.

    None when no method has samples.
    """
    chosen = figures.styles(tables)
    bands = {}
    for title, members in tables.items():
        generated = list(_generated(members, chosen))
        if generated:
            bands[title] = [*_real(members, real), *generated]
    if not bands:
        return None
    columns = max(min(COLUMNS, len(band)) for band in bands.values())
    lines = [ceil(len(band) / columns) for band in bands.values()]
    figure = figures.new_figure(sum(lines) * (WIDTH / columns + 0.16) + 0.3 * len(bands) * (len(tables) > 1))
    parts = figure.subfigures(len(bands), 1, height_ratios=lines, squeeze=False)[:, 0]
    for part, (title, band), count in zip(parts, bands.items(), lines, strict=True):
        if len(tables) > 1:
            part.suptitle(text.clip(title, 70), x=0.01, ha="left", fontsize=10, fontweight="bold")
        grid = part.subplots(count, columns, squeeze=False).ravel()
        for axes in grid[len(band) :]:
            axes.set_visible(False)
        for axes, sheet in zip(grid, band, strict=False):
            _draw(axes, sheet)
    return figure


def _real(members: list[Row], real: Mapping[str, bytes]) -> Iterator[Sheet]:
    names = list(dict.fromkeys(row.spec.dataset for row in members))
    for name in names:
        image = _opened(real.get(name, b""))
        if image is not None:
            yield Sheet("Real images" if len(names) == 1 else f"Real: {name}", image, INK)


def _generated(members: list[Row], chosen: Mapping[tuple[str, str], figures.Style]) -> Iterator[Sheet]:
    for row in members:
        for trial in row.trials:
            image = _opened(trial.record.samples) if trial.record else None
            if image is not None:
                ending = "" if trial.status == "finished" else f" ({trial.status})"
                yield Sheet(figures.label(row) + ending, image, figures.style_of(row, chosen).colour)
                break


def _opened(content: bytes) -> "Image | None":
    """The first SHOWN x SHOWN images of a sheet, set apart and enlarged; None when there is none."""
    if not content:
        return None
    from PIL import Image

    with Image.open(io.BytesIO(content)) as sheet:
        wide, high = sheet.width // SIDE, sheet.height // SIDE
        # whole multiples with nearest neighbour, so that every pixel of a sample stays a sharp square
        factor = max(1, round(WIDTH / COLUMNS * figures.DPI / (SHOWN * wide)))
        step = wide * factor + GAP, high * factor + GAP
        shown = Image.new("RGB", (SHOWN * step[0] - GAP, SHOWN * step[1] - GAP), "white")
        for index in range(SHOWN**2):
            line, column = divmod(index, SHOWN)
            image = sheet.crop((column * wide, line * high, (column + 1) * wide, (line + 1) * high))
            large = image.convert("RGB").resize((wide * factor, high * factor), Image.Resampling.NEAREST)
            shown.paste(large, (column * step[0], line * step[1]))
        return shown


def _draw(axes: "Axes", sheet: Sheet) -> None:
    axes.imshow(np.asarray(sheet.image))
    axes.set_title(sheet.title, fontsize=8.5, fontweight="normal", pad=4)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, color=sheet.colour, linewidth=2)
