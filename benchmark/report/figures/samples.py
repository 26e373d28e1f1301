"""Contact sheets: real images beside those of every method."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmark.analysis.leaderboard import LeaderboardRow
from benchmark.report.figures import page as layout
from benchmark.report.figures.page import DPI, EDGE, LINE, WIDTH, Page
from benchmark.report.figures.style import FAINT, HEAD, INK, SMALL, TITLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image
from benchmark.report.figures.style import Style, style_of, styles

SIDE = 8  # images along each side of a sheet in a record
GAP = 6  # pixels between images
FRAME = 4  # pixels of the frame of a sheet
HIGHEST = 19.5  # inches, 3,900 pixels: what a page of a browser can be scrolled through


class Grid(NamedTuple):
    """How many sheets stand beside each other, and how many images along each side of one are shown."""

    columns: int
    shown: int

    @property
    def pitch(self) -> float:
        """Inches from one sheet to the next."""
        return (WIDTH - 2 * EDGE) / self.columns

    @property
    def tile(self) -> int:
        """Pixels of a sheet with its frame."""
        return int(self.pitch * DPI) - 2 * GAP


# from the largest on; the first with which the figure is not too high is taken
GRIDS = (Grid(5, 5), Grid(6, 4), Grid(8, 3), Grid(10, 3))


@dataclass(frozen=True)
class Sheet:
    """A contact sheet with its title; `colour` frames a method in its own colour."""

    title: str
    content: "Image"
    colour: str


class Band(NamedTuple):
    """The sheets of a table in lines."""

    title: str
    lines: list[Sequence[Sheet]]


def sheets(tables: Mapping[str, list[LeaderboardRow]], real: Mapping[str, bytes], said: str = "") -> "Figure | None":
    """Per table: real images of its datasets, then each method's first seed that has samples.

    None when no method has samples. The more there are, the smaller, and the fewer images of each. `said`: at the top.
    """
    chosen = styles(tables)
    found: dict[str, list[Sheet]] = {}
    for title, members in tables.items():
        generated = list(_generated(members, chosen))
        if generated:
            found[title] = [*_real(members, real), *generated]
    if not found:
        return None
    named, lead = len(tables) > 1, 0.25 if said else 0.0
    grid = _grid(found, lead, named)
    shelves = _shelves(found, grid.columns)
    page = Page(2 * EDGE + lead + _tall(shelves, grid, named))
    page.words(EDGE, EDGE, said, HEAD, color=INK)
    canvas = np.full((round(page.height * DPI), round(WIDTH * DPI), 3), 255, np.uint8)
    top = EDGE + lead
    for shelf in shelves:
        column = 0
        for band in shelf:
            _draw(page, canvas, band, grid, (column, top), named)
            column += max(map(len, band.lines))
        top += _shelf_height(shelf, grid, named)
    page.figure.figimage(canvas, 0, 0, zorder=-1)
    return page.figure


def _grid(found: Mapping[str, list[Sheet]], lead: float, named: bool) -> Grid:
    """The largest with which all fit below each other, with so many inches above them."""
    fitting = (grid for grid in GRIDS if lead + _tall(_shelves(found, grid.columns), grid, named) <= HIGHEST)
    return next(fitting, GRIDS[-1])


def _shelves(found: Mapping[str, list[Sheet]], columns: int) -> list[list[Band]]:
    """The tables below each other; short ones that follow each other share a line."""
    shelves: list[list[Band]] = []
    left = 0
    for title, band in found.items():
        if len(band) > left:
            shelves.append([])
            left = columns
        shelves[-1].append(Band(title, layout.rows_of(band, columns)))
        left -= min(len(band), left)
    return shelves


def _tall(shelves: list[list[Band]], grid: Grid, named: bool) -> float:
    return sum(_shelf_height(shelf, grid, named) for shelf in shelves)


def _shelf_height(shelf: list[Band], grid: Grid, named: bool) -> float:
    heads = LINE * TITLE * 1.3 if named else 0.0
    return heads + max(sum(_line_height(line, grid) for line in band.lines) for band in shelf) + 0.06


def _caption(sheet: Sheet, grid: Grid) -> str:
    return layout.wrap(sheet.title, SMALL, grid.pitch - GAP / DPI - layout.BETWEEN, 2)


def _caption_height(line: Sequence[Sheet], grid: Grid) -> float:
    return max(layout.height(_caption(sheet, grid), SMALL) for sheet in line) + 0.03


def _line_height(line: Sequence[Sheet], grid: Grid) -> float:
    return _caption_height(line, grid) + grid.tile / DPI + 0.07


def _draw(page: Page, canvas: np.ndarray, band: Band, grid: Grid, corner: tuple[int, float], named: bool) -> None:
    """Titles as text of the page, and images into its pixels. `corner`: the first column, and inches from the top."""
    first, top = corner
    if named:
        room = max(map(len, band.lines)) * grid.pitch - 0.1
        page.words(
            EDGE + first * grid.pitch, top, layout.wrap(band.title, TITLE, room, 1, bold=True), TITLE, weight="bold"
        )
        top += LINE * TITLE * 1.3
    for line in band.lines:
        heads = _caption_height(line, grid)
        for column, sheet in enumerate(line, first):
            left = EDGE + column * grid.pitch
            words = _caption(sheet, grid)
            page.words(left, top + heads - 0.03 - layout.height(words, SMALL), words, SMALL)
            x, y = round(left * DPI), round((top + heads) * DPI)
            canvas[y : y + grid.tile, x : x + grid.tile] = np.asarray(_tile(sheet, grid))
        top += _line_height(line, grid)


def _real(members: list[LeaderboardRow], real: Mapping[str, bytes]) -> Iterator[Sheet]:
    names = list(dict.fromkeys(row.spec.dataset for row in members))
    for name in names:
        image = _opened(real.get(name, b""))
        if image is not None:
            yield Sheet("Real images" if len(names) == 1 else f"Real: {name}", image, FAINT)


def _generated(members: list[LeaderboardRow], chosen: Mapping[tuple[str, str], Style]) -> Iterator[Sheet]:
    for row in members:
        for trial in row.trials:
            image = _opened(trial.record.samples) if trial.record else None
            if image is not None:
                ending = "" if trial.status == "finished" else f" ({trial.status})"
                yield Sheet((row.label or "(no name)") + ending, image, style_of(row, chosen).colour)
                break


def _opened(content: bytes) -> "Image | None":
    """The contact sheet of a record, not yet decoded; None when there is none, or none that can be shown."""
    if not content:
        return None
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as tried:
            tried.load()
    except Exception:  # a damaged picture raises many kinds, and its numbers are none the worse
        return None
    return Image.open(io.BytesIO(content)) if min(tried.size) >= SIDE else None


def _tile(sheet: Sheet, grid: Grid) -> "Image":
    """The first `shown` x `shown` images of a sheet, set apart and framed."""
    from PIL import Image

    with sheet.content as content:
        wide, high = content.width // SIDE, content.height // SIDE
        side = (grid.tile - 2 * (FRAME + GAP) - (grid.shown - 1) * GAP) // grid.shown
        side = side // wide * wide if side >= 2 * wide else side  # a pixel of a sample is a square of whole pixels
        start = (grid.tile - grid.shown * side - (grid.shown - 1) * GAP) // 2
        tile = Image.new("RGB", (grid.tile, grid.tile), sheet.colour)
        inner = grid.tile - 2 * FRAME
        tile.paste((255, 255, 255), (FRAME, FRAME, FRAME + inner, FRAME + inner))
        for index in range(grid.shown**2):
            line, column = divmod(index, grid.shown)
            image = content.crop((column * wide, line * high, (column + 1) * wide, (line + 1) * high))
            place = (start + column * (side + GAP), start + line * (side + GAP))
            tile.paste(_resized(image.convert("RGB"), side), place)
        return tile


def _resized(image: "Image", side: int) -> "Image":
    """`side` x `side` pixels. It is enlarged by repeating pixels first, so that the pixels of a sample stay squares."""
    from PIL import Image

    factor = max(1, -(-side // image.width))
    large = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    return large if large.size == (side, side) else large.resize((side, side), Image.Resampling.BOX)
