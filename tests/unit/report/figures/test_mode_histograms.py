"""tests.unit.report.figures.test_mode_histograms"""

import io
import re

import numpy as np
import pytest
from PIL import Image

from benchmark.analysis.leaderboard import leaderboard_rows, rows_by_table
from benchmark.analysis.mode_counts import uniform_counts
from benchmark.report.figures import draw, mode_histograms
from benchmark.report.figures.style import FAINT
from benchmark.report.render import render
from benchmark.report.sections import modes as modes_page
from tests.support.figure_contents import clipped, labels, overlapping, texts

N = 25_600


@pytest.fixture(autouse=True)
def look():
    with draw.figure_style():
        yield


def counts_of(**modes):
    counts = np.zeros(1000, np.int64)
    for name, count in modes.items():
        counts[int(name[1:])] = count
    return counts.tolist()


@pytest.fixture
def tables(suite, make_record):
    """The suite's tables when every training ended with these counts, or those that a function gives of its spec."""

    def make(counts, **changes):
        found = {}
        for trial_id, spec in suite.specs.items():
            histogram = counts(spec) if callable(counts) else counts
            found[trial_id] = make_record(spec, histograms={"modes": histogram}, **changes)
        return rows_by_table(suite, leaderboard_rows(suite, found))

    return make


def falling(spec):
    """As many modes as the method and the seed say, each next one less frequent."""
    covered = {"gan": 200, "ssgan": 600, "msgan": 1000}[spec.method] - 50 * spec.seed
    weights = np.where(np.arange(1000) < covered, np.exp(-np.arange(1000) / 150), 0)
    return np.random.default_rng(spec.seed).multinomial(N, weights / weights.sum()).tolist()


# --- what is shown ---------------------------------------------------------------------------------------


def test_a_record_without_counts_has_no_panel_and_no_section(suite, all_finished, mixed, tmp_path):
    assert mode_histograms.draw_modes(rows_by_table(suite, leaderboard_rows(suite, mixed))) is None
    assert modes_page.shares(rows_by_table(suite, leaderboard_rows(suite, mixed))) == []


def test_a_line_is_the_mean_of_the_ranked_counts_and_its_band_reaches_over_the_seeds(suite, tables):
    shown = tables(lambda spec: counts_of(b1=10 + spec.seed, b2=2) if spec.seed else counts_of(b8=4, b9=30))
    axes = mode_histograms.draw_modes(shown).axes[list(suite.tables).index("Own")]
    expected = np.array([10 + 1, 10 + 2, 30]).mean(), np.array([2, 2, 4]).mean()
    methods = [line for line in axes.lines if line.get_color() != FAINT]
    assert len(methods) == 2
    for line in methods:
        assert list(line.get_xdata()[:2]) == [1, 2]
        assert list(line.get_ydata()[:2]) == pytest.approx(list(expected))
        assert line.get_ydata()[2] < axes.get_ylim()[0], "what has no images is below the foot of the axis"
    (band,) = axes.collections[0].get_paths()
    ends = [y for x, y in band.vertices if x == 1]
    assert (min(ends), max(ends)) == (11, 30)


def test_the_even_generator_is_drawn_beside_the_methods(tables):
    figure = mode_histograms.draw_modes(tables(falling))
    for axes in figure.axes:
        (line,) = [line for line in axes.lines if line.get_color() == FAINT]
        assert list(line.get_ydata()) == pytest.approx(list(uniform_counts(N, 1000)))
        assert axes.get_yscale() == "log"
    assert "samples of an even generator" in texts(figure)
    assert "25.6 each if even" in " ".join(texts(figure))


def test_a_panel_for_each_table_with_one_axis_for_all(suite, tables):
    figure = mode_histograms.draw_modes(tables(falling))
    assert len(figure.axes) == len(suite.tables)
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    assert set(suite.tables) <= set(texts(figure))


@pytest.mark.parametrize("counts", [falling, counts_of(b3=N), [26] * 1000, counts_of(b0=1, b999=1)])
def test_no_word_is_clipped_or_covers_another(tables, counts):
    figure = mode_histograms.draw_modes(tables(counts))
    assert not clipped(figure)
    assert not overlapping(figure)
    assert all(len(labels(axes, side)) > 1 for axes in figure.axes for side in ("x", "y"))
    assert all("1,000" in labels(axes, "x") for axes in figure.axes)


# --- in words --------------------------------------------------------------------------------------------


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_rarest_and_the_most_frequent_digit_of_each_channel(tables):
    """Three seeds: 600 images of 123, 300 of 423 and 100 of 189 each."""
    table, words = modes_page.shares(tables(counts_of(b123=600, b423=300, b189=100)))
    lines = table.splitlines()
    assert cells(lines[0]) == ["Table", "Method", "Red", "Green", "Blue"]
    assert len(lines) == 2 + 7
    rest = ["0 % (8 of 10) – 70.0 % (1)", "0 % (8 of 10) – 90.0 % (2)", "0 % (8 of 10) – 90.0 % (3)"]
    assert cells(lines[2]) == ["Checked", "GAN", *rest]
    assert "10 % each would be uniform" in words
    assert "digit" in words


def test_few_missing_digits_are_named_and_a_rare_one_is_not_missing(tables):
    cube = np.full((10, 10, 10), 30)
    cube[4] = cube[:, [2, 7]] = 0
    cube[:, :, 5] = 0
    cube[0, 0, 5] = 1
    lines = modes_page.shares(tables(cube.ravel().tolist()))[0].splitlines()
    red, green, blue = cells(lines[2])[2:]
    assert red.startswith("0 % (4) – 11.")
    assert green.startswith("0 % (2, 7) – 12.5 %")
    assert blue.startswith("0.0 % (5) – 11.1 % (9 of 10)")


def test_the_report_has_a_section_of_modes_between_curves_and_samples(suite, specs_of, make_record, real, tmp_path):
    specs = specs_of(suite, "Own", "GAN")
    records = {spec.trial_id: make_record(spec, histograms={"modes": falling(spec)}) for spec in specs}
    page = render(suite, records, tmp_path, real)
    document = page.read_text()
    headings = re.findall(r"^## (.*)$", document, re.M)
    assert headings[headings.index("Modes") - 1] == "Learning curves"
    assert headings[headings.index("Modes") + 1] == "Samples"
    section = document[document.index("## Modes") : document.index("## Samples")]
    assert "(figures/modes.png)" in section
    assert "| Own | GAN |" in section
    content = (tmp_path / "figures" / "modes.png").read_bytes()
    with Image.open(io.BytesIO(content)) as picture:
        width, height = picture.size
        frame = [(0, 0, width, 1), (0, height - 1, width, height), (0, 0, 1, height), (width - 1, 0, width, height)]
        assert all(picture.crop(side).convert("L").getextrema()[0] > 250 for side in frame)
    assert "histograms" not in (tmp_path / "results.json").read_text()
