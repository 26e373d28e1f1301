"""Sample grids: every image is whole, and a stack is its grey images side by side, also in grids of old records."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.store.sample_grids import RECORD_COLUMNS, side_by_side
from benchmark.store.workspace import sample_grid_path
from benchmark.trials.samples import GRID_IMAGES, sample_grid, write_thumbnails

STACKS = torch.randint(256, (GRID_IMAGES, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def pixels(png):
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image)


def test_the_digits_of_a_stack_are_side_by_side():
    grid = pixels(sample_grid(STACKS, stacked=3))
    assert grid.shape == (8 * 8, 8 * 24)
    for index, stack in enumerate(STACKS.numpy()):
        line, column = divmod(index, RECORD_COLUMNS)
        image = grid[8 * line : 8 * line + 8, 24 * column : 24 * column + 24]
        assert (image == np.concatenate(stack, axis=1)).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_images_that_are_not_stacked_keep_their_colours(channels):
    images = STACKS[:, :channels]
    grid = pixels(sample_grid(images))
    assert grid.shape == (64, 64, 3)
    assert (grid[8:16, 56:] == images[15].permute(1, 2, 0).numpy()).all()


def test_a_grid_of_an_earlier_version_is_turned_into_the_present_form():
    """In it, every stack is an RGB image whose channels are its digits."""
    earlier, present = sample_grid(STACKS), sample_grid(STACKS, stacked=3)
    assert pixels(earlier).shape == (64, 64, 3)
    assert side_by_side(earlier, 3, RECORD_COLUMNS) == present
    assert side_by_side(present, 3, RECORD_COLUMNS) == present
    assert side_by_side(earlier, 1, RECORD_COLUMNS) == earlier


@pytest.mark.parametrize("damaged", [b"", b"no PNG", sample_grid(STACKS)[:99]])
def test_a_grid_that_cannot_be_decoded_is_left_as_it_is(damaged):
    assert side_by_side(damaged, 3, RECORD_COLUMNS) == damaged


@pytest.mark.parametrize("stacked, width", [(1, 128), (3, 384)])
def test_thumbnails_of_tiny_images_are_enlarged_into_squares_of_whole_pixels(tmp_path, stacked, width):
    write_thumbnails(STACKS, stacked, tmp_path, "trial", 7)
    grid = pixels(sample_grid_path(tmp_path, "trial", 7).read_bytes())
    assert grid.shape[:2] == (128, width)
    small = pixels(sample_grid(STACKS[:16], stacked, columns=4))
    assert (grid == small.repeat(4, axis=0).repeat(4, axis=1)).all()


def test_thumbnails_of_larger_images_keep_their_size(tmp_path):
    write_thumbnails(torch.zeros(16, 3, 48, 48, dtype=torch.uint8), 1, tmp_path, "trial", 7)
    assert pixels(sample_grid_path(tmp_path, "trial", 7).read_bytes()).shape[:2] == (192, 192)
