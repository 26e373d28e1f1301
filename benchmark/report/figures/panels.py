"""Panels side by side below the title and the legend of their table: the layout of the figures of one idea."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.report.figures import page
from benchmark.report.figures.page import EDGE, NARROW, LegendEntry, Page
from benchmark.report.figures.style import FAINT, FRAME, HEAD, INK, SMALL, TITLE
from benchmark.report.figures.ticks import Ticks, choose_ticks, draw_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Limits = tuple[float, float]

INSIDE = NARROW - 2 * EDGE  # inches between the edges
GAP = 0.14  # inches between two panels
OVERHANG = 0.1  # inches by which the last tick label reaches over a panel, at most
TITLE_GAP = 0.05  # inches below the title of a panel
TICK_GAP = 0.09  # inches between a panel and the widest tick label
Y_LABEL = 0.18  # inches of the name of the vertical axis
TICK_LABELS = 0.22  # inches of the tick labels below a panel
X_LABEL = 0.15  # inches of the name of the horizontal axis
ROW_GAP = 0.08  # inches below the tick labels of a row that is not the last
LEGEND_GAP = 0.06  # inches below the legend
GROUP_GAP = 0.08  # inches below everything


@dataclass(frozen=True, kw_only=True)
class PlotPanel:
    """One panel. `note`: a line below its title. `draw` receives axes whose limits are set.

    `x_ticks`: None for round values.
    """

    title: str
    note: str = ""
    x_limits: Limits
    y_limits: Limits
    draw: Callable[["Axes"], None]
    x_ticks: Ticks | None = None


@dataclass(frozen=True, kw_only=True)
class PanelGroup:
    """The panels of one table.

    `height`: inches of a panel; None for a square. Panels in one row whose vertical axes agree have one set of labels.
    `steps`: whether the horizontal axis counts training steps.
    """

    title: str
    legend: Sequence[LegendEntry]
    panels: Sequence[PlotPanel]
    most_columns: int
    height: float | None
    x_label: str
    y_label: str
    steps: bool = False


# --- measure ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class GroupLayout:
    """The places of a group, in inches. `lefts`: left edges of a row's panels, each `width` x `height`."""

    group: PanelGroup
    title: str
    legend: list[list[LegendEntry]]
    rows: list[Sequence[PlotPanel]]
    lefts: list[float]
    width: float
    height: float
    shares_y: bool

    @property
    def header_height(self) -> float:
        """Inches of title and legend."""
        legend = page.legend_height(self.legend, SMALL)
        return page.height(self.title, TITLE) * 1.15 * bool(self.title) + legend + LEGEND_GAP * bool(self.legend)

    @property
    def total_height(self) -> float:
        """Inches of everything."""
        return self.header_height + sum(map(self.row_height, self.rows)) - ROW_GAP + X_LABEL + GROUP_GAP

    def title_of(self, panel: PlotPanel) -> str:
        """The title of a panel in at most two lines."""
        return page.wrap(panel.title, HEAD, self.width, 2)

    def note_of(self, panel: PlotPanel) -> str:
        """The line below a title, or two if it is long."""
        return page.wrap(panel.note, SMALL, self.width + GAP / 2, 2)

    def titles_height(self, row: Sequence[PlotPanel]) -> float:
        """Inches above the panels of a row."""
        titles = max(page.height(self.title_of(panel), HEAD) for panel in row)
        return titles + self.notes_height(row) + TITLE_GAP

    def notes_height(self, row: Sequence[PlotPanel]) -> float:
        """Inches of the lines below the titles of a row."""
        return max(page.height(self.note_of(panel), SMALL) * bool(panel.note) for panel in row)

    def row_height(self, row: Sequence[PlotPanel]) -> float:
        """Inches of a row with titles and tick labels."""
        return self.titles_height(row) + self.height + TICK_LABELS + ROW_GAP


def measure(group: PanelGroup) -> GroupLayout:
    """The layout of a group."""
    columns = page.columns([len(group.panels)], group.most_columns)
    shares_y = len({panel.y_limits for panel in group.panels}) == 1
    height = group.height or INSIDE / columns
    labels = TICK_GAP + max(_y_ticks(panel, height).label_width for panel in group.panels)
    pitch = (INSIDE - Y_LABEL - OVERHANG - labels * shares_y + GAP) / columns
    width = pitch - GAP - labels * (not shares_y)
    return GroupLayout(
        group=group,
        title=page.wrap(group.title, TITLE, INSIDE, 2, bold=True),
        legend=page.wrap_entries(group.legend, SMALL, INSIDE),
        rows=page.rows_of(group.panels, columns),
        lefts=[EDGE + Y_LABEL + labels + column * pitch for column in range(columns)],
        width=width,
        height=group.height or width,
        shares_y=shares_y,
    )


def _y_ticks(panel: PlotPanel, height: float) -> Ticks:
    return choose_ticks(panel.y_limits, height, vertical=True)


# --- draw ------------------------------------------------------------------------------------------------


def draw_groups(groups: Sequence[PanelGroup], banner: str = "") -> "Figure | None":
    """The groups below each other; None without any. `banner`: a line at the top."""
    if not groups:
        return None
    layouts = [measure(group) for group in groups]
    height = 2 * EDGE + page.banner_height(banner) + sum(layout.total_height for layout in layouts)
    figure = Page(height, page.wrap(banner, HEAD, INSIDE, 1), HEAD, INK, NARROW)
    top = figure.top
    for layout in layouts:
        figure.text(EDGE, top, layout.title, TITLE, weight="bold")
        legend_top = top + layout.header_height - LEGEND_GAP - page.legend_height(layout.legend, SMALL)
        figure.legend(EDGE, legend_top, layout.legend, SMALL, INK)
        row_top = top + layout.header_height
        for row in layout.rows:
            _draw_row(figure, layout, row, row_top)
            row_top += layout.row_height(row)
        row_top -= ROW_GAP
        centre = (layout.lefts[0] + layout.lefts[min(len(layout.rows[0]), len(layout.lefts)) - 1] + layout.width) / 2
        label = layout.group.x_label
        figure.text(centre - page.width(label, SMALL) / 2, row_top, label, SMALL)
        top += layout.total_height
    return figure.figure


def _draw_row(figure: Page, layout: GroupLayout, row: Sequence[PlotPanel], top: float) -> None:
    panels_top = top + layout.titles_height(row)
    middle = 1 - (panels_top + layout.height / 2) / figure.height
    position = ((EDGE + Y_LABEL / 2) / figure.width, middle)
    figure.figure.text(
        *position, layout.group.y_label, rotation="vertical", ha="center", va="center", fontsize=SMALL, color=INK
    )
    for column, (panel, left) in enumerate(zip(row, layout.lefts, strict=False)):
        title, notes_top = layout.title_of(panel), panels_top - TITLE_GAP - layout.notes_height(row)
        figure.text(left, notes_top - page.height(title, HEAD), title, HEAD)
        figure.text(left, notes_top, layout.note_of(panel), SMALL, color=FAINT)
        axes = figure.axes(left, panels_top, layout.width, layout.height)
        axes.set_xlim(*panel.x_limits)
        axes.set_ylim(*panel.y_limits)
        panel.draw(axes)
        x_ticks = panel.x_ticks or choose_ticks(panel.x_limits, layout.width, steps=layout.group.steps)
        y_ticks = _y_ticks(panel, layout.height)
        if column and layout.shares_y:
            y_ticks = Ticks(y_ticks.positions, [""] * len(y_ticks.positions))
        draw_frame(axes, x_ticks, y_ticks, FRAME)
