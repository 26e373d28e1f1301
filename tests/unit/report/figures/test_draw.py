"""tests.unit.report.figures.test_draw"""

import io
import warnings
from dataclasses import replace

import pytest
from PIL import Image

from benchmark.analysis.leaderboard import leaderboard_rows, rows_by_table
from benchmark.core import registry
from benchmark.report.figures import draw, page
from benchmark.report.figures.style import PALETTE, choose_styles, reference_lines
from tests.support.figure_contents import texts


@pytest.fixture(scope="module")
def drawn(suite, mixed, real):
    return draw.draw(suite, leaderboard_rows(suite, mixed)[:3], real)


def test_three_figures_of_one_width_without_metadata(drawn):
    assert list(drawn) == ["leaderboard.png", "curves.png", "samples.png"]
    for content in drawn.values():
        with Image.open(io.BytesIO(content)) as picture:
            assert picture.width == page.WIDTH * page.DPI
            assert picture.info == {}


def test_nothing_touches_the_edge_of_a_figure(drawn):
    for content in drawn.values():
        with Image.open(io.BytesIO(content)) as picture:
            width, height = picture.size
            frame = [
                (0, 0, width, 1),
                (0, height - 1, width, height),
                (0, 0, 1, height),
                (width - 1, 0, width, height),
            ]
            assert all(picture.crop(side).convert("L").getextrema()[0] > 250 for side in frame)


def test_a_method_has_one_colour_and_variants_differ_otherwise(suite):
    chosen = choose_styles(rows_by_table(suite, leaderboard_rows(suite, {})))
    gan, hinge = chosen["gan", "GAN"], chosen["gan", "Hinge GAN"]
    assert gan.colour == hinge.colour == PALETTE[list(registry.methods).index("gan")]
    assert (gan.marker, gan.dash) != (hinge.marker, hinge.dash)
    assert len({style.colour for style in chosen.values()}) == 3


def test_colours_do_not_depend_on_the_other_rows(suite):
    tables = rows_by_table(suite, leaderboard_rows(suite, {}))
    alone = choose_styles({"Own": tables["Own"]})
    assert alone["msgan", "MSGAN"] == choose_styles(tables)["msgan", "MSGAN"]


def test_methods_that_share_a_colour_have_other_markers(suite):
    """The eighth method has the colour of the first."""
    order = list(registry.methods)
    first, eighth = order[0], order[len(PALETTE)]
    specs = [
        row.spec.model_copy(update={"method": name})
        for row, name in zip(leaderboard_rows(suite, {}), (first, eighth), strict=False)
    ]
    found = [
        replace(row, cell=replace(row.cell, specs=(spec,)))
        for row, spec in zip(leaderboard_rows(suite, {}), specs, strict=False)
    ]
    one, other = choose_styles({"T": found}).values()
    assert one.colour == other.colour
    assert (one.marker, one.dash) != (other.marker, other.dash)
    assert one.marker != other.marker


def test_the_same_store_gives_the_same_bytes(suite, mixed, real, drawn):
    again = draw.draw(suite, leaderboard_rows(suite, mixed)[:3], real)
    assert again == drawn


def test_a_figure_that_omits_rows_says_so(suite, mixed, real, monkeypatch):
    monkeypatch.setattr(draw, "MOST_ROWS", 2)
    heard = []
    monkeypatch.setattr(draw, "to_png", lambda figure: heard.append(texts(figure)[0]))
    draw.draw(suite, leaderboard_rows(suite, mixed), real)
    assert heard == ["The first 2 of 7 rows; results.csv has all of them"] * 3


def test_any_label_can_be_drawn(small_suite, all_finished, recwarn):
    suite = small_suite("_hidden", "$x$", "a\nb", "数字 🎲", "", "x" * 200, "%s {}", title="$\\frac $")
    draw.draw(suite, leaderboard_rows(suite, all_finished(suite)), {})
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_reference_lines_belong_to_the_metric_that_counts_modes(suite):
    found = leaderboard_rows(suite, {})
    assert [mark.value for mark in reference_lines("modes", found)] == [1000]
    assert [mark.value for mark in reference_lines("kl", found)] == [pytest.approx(999 / 51200)]
    assert reference_lines("fid", found) == []


def draw_label(label):
    from matplotlib.figure import Figure

    with draw.figure_style():
        figure = Figure(figsize=(3, 0.6), dpi=100)
        figure.text(0.1, 0.4, label)
        return draw.to_png(figure)


def test_characters_that_no_font_has_are_named(monkeypatch, caplog):
    monkeypatch.setattr(draw, "fonts", lambda: ["DejaVu Sans"])
    draw_label("GAN: 自监督, 自")
    (message,) = [record.getMessage() for record in caplog.records]
    assert "no installed font has 监, 督, 自, so boxes stand for them" in message


def test_a_font_that_is_installed_has_the_characters_that_the_first_lacks(monkeypatch, caplog):
    """STIX ships with matplotlib too, and has a script g, which DejaVu Sans lacks."""
    letter = "\u210a"
    monkeypatch.setattr(draw, "fonts", lambda: ["DejaVu Sans"])
    boxes = draw_label(letter)
    assert len(caplog.records) == 1
    monkeypatch.setattr(draw, "fonts", lambda: ["DejaVu Sans", "STIXGeneral"])
    assert draw_label(letter) != boxes
    assert len(caplog.records) == 1


def test_other_warnings_are_not_swallowed():
    with pytest.warns(DeprecationWarning, match="old"), draw.figure_style():
        warnings.warn("old", DeprecationWarning, stacklevel=1)
