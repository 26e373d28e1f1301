"""tests.unit.report.figures.test_samples"""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from benchmark.analysis.leaderboard import leaderboard_rows, rows_by_table
from benchmark.report.figures import samples
from tests.support.figure_contents import clipped, overlapping, texts


def test_real_images_are_beside_every_method_with_samples(suite, mixed, real):
    figure = samples.draw_samples(rows_by_table(suite, leaderboard_rows(suite, mixed)), real)
    assert texts(figure) == [
        *("Checked", "Real images", "GAN", "SSGAN", "MSGAN"),
        *("Remembered", "Real images", "Hinge GAN"),
        *("Own", "Real images", "MSGAN"),
    ]
    assert not clipped(figure)
    assert not overlapping(figure)


def test_without_samples_there_is_no_figure(suite, real):
    assert samples.draw_samples(rows_by_table(suite, leaderboard_rows(suite, {})), real) is None


def test_a_trial_that_stopped_is_named(suite, specs_of, make_record):
    spec = specs_of(suite, "Own", "GAN")[1]
    records = {spec.trial_id: make_record(spec, "diverged", "nan")}
    figure = samples.draw_samples(rows_by_table(suite, leaderboard_rows(suite, records)), {})
    assert texts(figure) == ["Own", "GAN (diverged)"]


def sheet_of(mode, side):
    """64 images, the first of which has only pixels of 0, the second of 1 ..."""
    images = np.arange(64, dtype=np.uint8)[:, None, None] * np.ones((1, side, side), dtype=np.uint8)
    pixels = images.reshape(8, 8, side, side).transpose(0, 2, 1, 3).reshape(8 * side, 8 * side)
    return samples.SampleGrid("", Image.fromarray(pixels).convert(mode), "#FF0000")


@pytest.mark.parametrize("grid", samples.SIZES)
@pytest.mark.parametrize("mode, side", [("RGB", 8), ("L", 28), ("RGB", 64)])
def test_a_sample_grid_is_resized_without_mixing_its_images(mode, side, grid):
    tile = samples.resized(sheet_of(mode, side), grid)
    assert tile.size == (grid.pixels, grid.pixels)
    assert tile.getpixel((0, 0)) == (255, 0, 0), "the frame"
    shown = np.asarray(tile)[samples.FRAME : -samples.FRAME, samples.FRAME : -samples.FRAME]
    assert (shown[..., 0] == shown[..., 2]).all(), "no colour of the frame within"
    expected = {line * 8 + column for line in range(grid.images) for column in range(grid.images)}
    assert set(np.unique(shown)) == expected | {255}


@pytest.mark.parametrize("size", samples.SIZES)
def test_stacks_are_shown_in_fewer_columns_and_their_digits_stay_square(size):
    """Of a wide image, every pixel is as wide as high, and the first images are shown whole."""
    images = np.arange(64, dtype=np.uint8)[:, None, None] * np.ones((1, 8, 24), dtype=np.uint8)
    images[:, 0, :8] = 255 - np.arange(64, dtype=np.uint8)[:, None]  # of the first digit, the first row
    content = images.reshape(8, 8, 8, 24).transpose(0, 2, 1, 3).reshape(64, 192)
    tile = np.asarray(samples.resized(samples.SampleGrid("", Image.fromarray(content), "#FF0000"), size))[..., 1]
    columns, lines = samples.shown(3, size)
    assert lines == 3 * columns <= samples.SIDE
    for index in (line * 8 + column for line in range(lines) for column in range(columns)):
        bright, dark = (tile == 255 - index).sum(), (tile == index).sum()
        if index:  # 255 and 0 are also the colours of the background and of the frame
            side = (bright / 8) ** 0.5
            assert side == round(side) >= 1
            assert dark == (8 * 24 - 8) * side**2


def test_an_old_sample_grid_of_stacks_is_shown_as_its_digits(suite, mixed):
    """Its record holds RGB images; the figure cuts stacks of three grey digits."""
    (record, *_) = (record for record in mixed.values() if record.samples_png)
    with Image.open(io.BytesIO(base64.b64decode(record.samples_png))) as stored, samples._open(record.samples) as image:
        assert (stored.mode, stored.size, image.mode, image.size) == ("RGB", (64, 64), "L", (192, 64))
        assert (np.asarray(image)[:8, 8:16] == np.asarray(stored)[:8, :8, 1]).all(), "green is the second digit"


def test_small_images_are_enlarged_into_squares_of_whole_pixels():
    """Stripes of one pixel stay black and white."""
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    sheet = samples.SampleGrid("", Image.fromarray(stripes), "#000000")
    assert set(np.unique(np.asarray(samples.resized(sheet, samples.SIZES[0])))) == {0, 255}


@pytest.mark.parametrize("tables, rows_each", [(1, 1), (5, 3), (14, 3), (10, 4), (4, 8), (1, 60), (6, 12)])
def test_more_sample_grids_are_smaller_and_no_figure_is_too_high(tables, rows_each):
    found = {f"Table {n}": [sheet_of("L", 2)] * (rows_each + 1) for n in range(tables)}
    grid = samples.choose_size(found, 0.0, True)
    assert samples.shelves_height(samples.shelves(found, grid.columns), grid, True) <= samples.HIGHEST
    if tables * rows_each <= 6:
        assert grid == samples.SIZES[0]


def test_short_tables_share_a_shelf_and_none_is_lost():
    found = {"A": ["a"] * 4, "B": ["b"] * 4, "C": ["c"] * 10, "D": ["d"] * 2}
    shelves = samples.shelves(found, 8)
    assert [[band.title for band in shelf] for shelf in shelves] == [["A", "B"], ["C"], ["D"]]
    assert {band.title: sum(map(len, band.lines)) for shelf in shelves for band in shelf} == {
        title: len(band) for title, band in found.items()
    }
