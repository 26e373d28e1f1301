"""Draws all figures of a report. The same records give the same bytes."""

import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.analysis.leaderboard import LeaderboardRow, rows_by_table
from benchmark.analysis.points.tables import RealSamples
from benchmark.config.suite import Suite
from benchmark.report.figures.page import fonts
from benchmark.report.figures.style import RC

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

MISSING_GLYPH = re.compile(r"Glyph (\d+) ")  # matplotlib's warning
MOST_ROWS = 120  # in one figure: more would be unreadable, and Agg cannot draw more than 65,535 pixels


def draw(suite: Suite, rows: list[LeaderboardRow], real: RealSamples) -> dict[str, bytes]:
    """PNGs by file name, without figures that would show nothing. `real`: of datasets, a grid as PNG, or points."""
    from benchmark.report.figures import class_losses, curves, leaderboard, mode_histograms, points, samples
    from benchmark.report.figures import tasks as task_figure

    tables = rows_by_table(suite, rows[:MOST_ROWS])
    omits_rows = len(rows) > MOST_ROWS
    banner = f"The first {MOST_ROWS} of {len(rows):,} rows; results.csv has all of them" if omits_rows else ""
    main, others = leaderboard.split(tables)
    with figure_style():
        figures = {
            "leaderboard.png": leaderboard.draw_leaderboard(tables, main, banner),
            "besides.png": leaderboard.draw_leaderboard(tables, others, banner) if others else None,
            "density.png": points.draw_density(tables, real, banner),
            "scatter.png": points.draw_scatter(tables, real, banner),
            "tasks.png": task_figure.draw_tasks(tables, banner),
            "class_losses.png": class_losses.draw_class_losses(tables, banner),
            "curves.png": curves.draw_curves(tables, banner),
            "modes.png": mode_histograms.draw_modes(tables, banner),
            "samples.png": samples.draw_samples(tables, real, banner),
        }
        return {name: to_png(figure) for name, figure in figures.items() if figure is not None}


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw with the report's settings of matplotlib, whatever the user's are.

    Characters that no installed font has are drawn as boxes, and one line names them.
    """
    from matplotlib import get_cachedir, style

    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # some fallbacks have no bold face
    with style.context(["default", {**RC, "font.family": fonts()}]), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    glyphs = [MISSING_GLYPH.match(str(warning.message)) for warning in caught]
    for warning, glyph in zip(caught, glyphs, strict=True):
        if not glyph:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if missing := "".join(sorted({chr(int(glyph[1])) for glyph in glyphs if glyph})):
        logger.warning(
            "figures: no installed font has %s, so boxes stand for them; install one that has them, such as"
            " Noto Sans CJK (Chinese, Japanese, Korean) or Noto Emoji, delete matplotlib's list of fonts in %s, and"
            " run `report` again",
            ", ".join(missing[:20]) + ("..." if len(missing) > 20 else ""),
            get_cachedir(),
        )


def to_png(figure: "Figure") -> bytes:
    """The figure as PNG, without metadata that differ between machines. `savefig` would draw it twice."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas: Any = FigureCanvasAgg(figure)
    content = io.BytesIO()
    canvas.draw()
    Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").save(content, format="PNG")
    return content.getvalue()
