"""The contents of a figure, read from its artists."""

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg


def text_artists(figure):
    """The text artists of a figure that are not blank."""
    artists = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    return [text for text in artists if text.get_text().strip()]


def texts(figure):
    return [text.get_text() for text in text_artists(figure)]


def boxes(figure):
    """(text, extent in pixels) of every text artist."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    return [(text.get_text(), text.get_window_extent(renderer)) for text in text_artists(figure)]


def clipped(figure):
    """Texts that extend beyond the figure."""
    width, height = figure.bbox.size
    return [text for text, box in boxes(figure) if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height]


def overlapping(figure, slack=1.5):
    """Pairs of texts that overlap by more than `slack` pixels in both directions."""
    return [
        (text, other)
        for (text, a), (other, b) in combinations(boxes(figure), 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > slack and min(a.y1, b.y1) - max(a.y0, b.y0) > slack
    ]


def labels(axes, side):
    """The labels of the ticks of an axis, `x` or `y`, or of the rows (`row`) of the main figure."""
    return [text.get_text() for text in axes.texts if text.get_gid() == side]


def dashed(axes, colour):
    """Heights of the dashed lines of a colour that span a panel."""
    lines = [line for line in axes.lines if list(line.get_xdata()) == [0, 1] and line.get_color() == colour]
    assert all(line.get_linestyle() == "--" for line in lines)
    return [line.get_ydata()[0] for line in lines]


def diamonds(axes):
    """(colour, face colour, height) of the diamonds at the right edge."""
    lines = [line for line in axes.lines if line.get_marker() == "D" and len(line.get_xdata()) == 1]
    return [(line.get_color(), line.get_markerfacecolor(), line.get_ydata()[0]) for line in lines]
