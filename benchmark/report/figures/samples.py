"""The sample grids: real images beside those of every method."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmark.analysis.leaderboard import LeaderboardRow
from benchmark.analysis.points.tables import RealSamples
from benchmark.report.figures import page
from benchmark.report.figures.page import DPI, EDGE, LINE, WIDTH, Page
from benchmark.report.figures.style import FAINT, HEAD, INK, SMALL, TITLE, Styles, choose_styles, style_of
from benchmark.report.figures.ticks import LABEL_GAP
from benchmark.store.sample_grids import RECORD_COLUMNS as SIDE

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

GAP = 6  # pixels between images
FRAME = 4  # pixels of the frame of a sample grid
HIGHEST = 19.5  # inches, 3,900 pixels: as much as is reasonable to scroll
TITLE_LINE = LINE * TITLE * 1.3  # inches of a table's title


class GridSize(NamedTuple):
    """How many sample grids fit side by side, and how many square images along each side of one are shown."""

    columns: int
    images: int

    @property
    def pitch(self) -> float:
        """Inches from one sample grid to the next."""
        return (WIDTH - 2 * EDGE) / self.columns

    @property
    def pixels(self) -> int:
        """Width and height of a sample grid with its frame."""
        return int(self.pitch * DPI) - 2 * GAP


# from large to small; the first size is used with which the figure is not too high
SIZES = (GridSize(5, 5), GridSize(6, 4), GridSize(8, 3), GridSize(10, 3))


@dataclass(frozen=True)
class SampleGrid:
    """A sample grid with its title and the colour of its frame."""

    title: str
    image: "Image"
    colour: str


class SampleBand(NamedTuple):
    """The sample grids of a table, in lines."""

    title: str
    lines: list[Sequence[SampleGrid]]


Shelf = list[SampleBand]  # bands side by side

# --- measure ---------------------------------------------------------------------------------------------


def choose_size(grids: Mapping[str, Sequence[SampleGrid]], banner: float, titles: bool) -> GridSize:
    """The largest size at which all grids fit below a banner of so many inches. `titles`: whether tables have one."""
    fitting = (size for size in SIZES if banner + shelves_height(shelves(grids, size.columns), size, titles) <= HIGHEST)
    return next(fitting, SIZES[-1])


def shelves(grids: Mapping[str, Sequence[SampleGrid]], columns: int) -> list[Shelf]:
    """The tables below each other; consecutive short tables share a shelf."""
    filled: list[Shelf] = []
    free = 0
    for title, members in grids.items():
        if len(members) > free:
            filled.append([])
            free = columns
        filled[-1].append(SampleBand(title, page.rows_of(members, columns)))
        free -= min(len(members), free)
    return filled


def shelves_height(filled: list[Shelf], size: GridSize, titles: bool) -> float:
    """Inches of all shelves."""
    return sum(_shelf_height(shelf, size, titles) for shelf in filled)


def _shelf_height(shelf: Shelf, size: GridSize, titles: bool) -> float:
    title = TITLE_LINE if titles else 0.0
    return title + max(sum(_line_height(line, size) for line in band.lines) for band in shelf) + 0.06


def _line_height(line: Sequence[SampleGrid], size: GridSize) -> float:
    return _captions_height(line, size) + size.pixels / DPI + 0.07


def _captions_height(line: Sequence[SampleGrid], size: GridSize) -> float:
    return max(page.height(_caption(grid, size), SMALL) for grid in line) + 0.03


def _caption(grid: SampleGrid, size: GridSize) -> str:
    return page.wrap(grid.title, SMALL, size.pitch - GAP / DPI - LABEL_GAP, 2)


# --- draw ------------------------------------------------------------------------------------------------


def draw_samples(tables: Mapping[str, list[LeaderboardRow]], real: RealSamples, banner: str = "") -> "Figure | None":
    """Per table: real images of its datasets, then samples of each method's first seed; None without samples.

    The more sample grids there are, the smaller they are, and the fewer images of each are shown.

    Args:
        tables: the rows of each table.
        real: PNG of a sample grid of real images, by dataset.
        banner: a line at the top.
    """
    styles = choose_styles(tables)
    generated = {title: list(_generated(members, styles)) for title, members in tables.items()}
    grids = {title: [*_real(tables[title], real), *own] for title, own in generated.items() if own}
    if not grids:
        return None
    titles, banner_height = len(tables) > 1, page.banner_height(banner)
    size = choose_size(grids, banner_height, titles)
    filled = shelves(grids, size.columns)
    figure = Page(2 * EDGE + banner_height + shelves_height(filled, size, titles), banner, HEAD, INK)
    canvas = np.full((round(figure.height * DPI), round(WIDTH * DPI), 3), 255, np.uint8)
    top = figure.top
    for shelf in filled:
        column = 0
        for band in shelf:
            _draw_band(figure, canvas, band, size, column, top, titles)
            column += max(map(len, band.lines))
        top += _shelf_height(shelf, size, titles)
    figure.figure.figimage(canvas, 0, 0, zorder=-1)
    return figure.figure


def _draw_band(
    figure: Page, canvas: np.ndarray, band: SampleBand, size: GridSize, first_column: int, top: float, titles: bool
) -> None:
    """Titles as text of the figure, and images into the pixels of the canvas."""
    if titles:
        width = max(map(len, band.lines)) * size.pitch - 0.1
        title = page.wrap(band.title, TITLE, width, 1, bold=True)
        figure.text(EDGE + first_column * size.pitch, top, title, TITLE, weight="bold")
        top += TITLE_LINE
    for line in band.lines:
        captions = _captions_height(line, size)
        for column, grid in enumerate(line, first_column):
            left, caption = EDGE + column * size.pitch, _caption(grid, size)
            figure.text(left, top + captions - 0.03 - page.height(caption, SMALL), caption, SMALL)
            x, y = round(left * DPI), round((top + captions) * DPI)
            canvas[y : y + size.pixels, x : x + size.pixels] = np.asarray(resized(grid, size))
        top += _line_height(line, size)


def _real(members: list[LeaderboardRow], real: RealSamples) -> Iterator[SampleGrid]:
    names = list(dict.fromkeys(row.spec.dataset for row in members))
    for name in names:
        grid = real.get(name)
        image = _open(grid) if isinstance(grid, bytes) else None
        if image is not None:
            yield SampleGrid("Real images" if len(names) == 1 else f"Real: {name}", image, FAINT)


def _generated(members: list[LeaderboardRow], styles: Styles) -> Iterator[SampleGrid]:
    for row in members:
        for trial in row.trials:
            image = _open(trial.record.samples) if trial.record else None
            if image is not None:
                status = "" if trial.status == "finished" else f" ({trial.status})"
                yield SampleGrid((row.label or "(no name)") + status, image, style_of(row, styles).colour)
                break


def _open(content: bytes) -> "Image | None":
    """The image of a PNG, not yet decoded; None if there is none, or if it is damaged or too small."""
    if not content:
        return None
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except Exception:  # a damaged PNG raises errors of many kinds, and must not cost the report
        return None
    return Image.open(io.BytesIO(content)) if min(image.size) >= SIDE else None


def resized(grid: SampleGrid, size: GridSize) -> "Image":
    """The first images of a sample grid, spaced and framed. Stacks, which are wide, take more than one column."""
    from PIL import Image

    with grid.image as content:
        width, height = content.width // SIDE, content.height // SIDE
        columns, lines = shown(width / height, size)
        room = size.pixels - 2 * (FRAME + GAP)
        side = min((room - (columns - 1) * GAP) * height // (columns * width), (room - (lines - 1) * GAP) // lines)
        side = side // height * height if side >= 2 * height else side  # a pixel of a sample is whole pixels
        pitch = (side * width // height + GAP, side + GAP)
        start = [(size.pixels - count * step + GAP) // 2 for count, step in zip((columns, lines), pitch, strict=True)]
        canvas = Image.new("RGB", (size.pixels, size.pixels), grid.colour)
        inner = size.pixels - 2 * FRAME
        canvas.paste((255, 255, 255), (FRAME, FRAME, FRAME + inner, FRAME + inner))
        for line, column in product(range(lines), range(columns)):
            image = content.crop((column * width, line * height, (column + 1) * width, (line + 1) * height))
            position = (start[0] + column * pitch[0], start[1] + line * pitch[1])
            canvas.paste(_enlarged(image.convert("RGB"), side), position)
        return canvas


def shown(aspect: float, size: GridSize) -> tuple[int, int]:
    """Columns and lines of the images that are shown of a grid, which fill a square. `aspect`: width / height."""
    columns = max(1, round((size.images + (aspect > 1)) / aspect))
    return columns, min(SIDE, round(columns * aspect))


def _enlarged(image: "Image", height: int) -> "Image":
    """The image at `height` pixels. Pixels are repeated first, so that they stay squares."""
    from PIL import Image

    factor = max(1, -(-height // image.height))
    large = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    shape = (image.width * height // image.height, height)
    return large if large.size == shape else large.resize(shape, Image.Resampling.BOX)
