"""The pictures of the report: one look for all of them, and the same bytes from the same records."""

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.analysis.leaderboard import LeaderboardRow, rows_by_table
from benchmark.config.suite import Suite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

from benchmark.report.figures.style import RC

MOST_ROWS = 120  # in one picture: more could not be read, nor drawn, because a PNG of Agg ends at 65,535 pixels


def draw(suite: Suite, rows: list[LeaderboardRow], real: Mapping[str, bytes]) -> dict[str, bytes]:
    """File name -> PNG. Pictures that would show nothing are left out."""
    from benchmark.report.figures import curves, leaderboard, mode_histograms, samples

    tables = rows_by_table(suite, rows[:MOST_ROWS])
    said = f"The first {MOST_ROWS} of {len(rows):,} rows; results.csv has all of them" if len(rows) > MOST_ROWS else ""
    main, besides = leaderboard.split(tables)
    with _look():
        figures = {
            "leaderboard.png": leaderboard.draw_leaderboard(tables, main, said),
            "besides.png": leaderboard.draw_leaderboard(tables, besides, said) if besides else None,
            "curves.png": curves.curves(tables, said),
            "modes.png": mode_histograms.modes(tables, said),
            "samples.png": samples.sheets(tables, real, said),
        }
        return {name: _png(figure) for name, figure in figures.items() if figure is not None}


@contextmanager
def _look() -> Iterator[None]:
    from matplotlib import style

    with style.context(["default", dict(RC)]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a label may be in any script
        yield


def _png(figure: "Figure") -> bytes:
    """Drawn once, where savefig would draw twice, and without metadata that changes between machines."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas: Any = FigureCanvasAgg(figure)
    content = io.BytesIO()
    canvas.draw()
    Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").save(content, format="PNG")
    return content.getvalue()
