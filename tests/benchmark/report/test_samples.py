import io

import numpy as np
import pytest
from PIL import Image

from benchmark.report import rows, samples
from benchmark.report.tables import by_table


def titles(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_visible()]


def test_real_images_stand_beside_every_method_that_has_samples(suite, mixed, real):
    figure = samples.sheets(by_table(suite, rows(suite, mixed)), real)
    assert titles(figure) == [
        *("Real images", "GAN", "SSGAN", "MSGAN"),
        *("Real images", "Hinge GAN"),
        *("Real images", "MSGAN"),
    ]


def test_without_samples_there_is_no_picture(suite, real):
    assert samples.sheets(by_table(suite, rows(suite, {})), real) is None


def test_a_trial_that_stopped_is_named(suite, specs_of, make_record):
    spec = specs_of(suite, "Own", "GAN")[1]
    records = {spec.trial_id: make_record(spec, "diverged", "nan")}
    figure = samples.sheets(by_table(suite, rows(suite, records)), {})
    assert titles(figure) == ["GAN (diverged)"]


@pytest.mark.parametrize("mode, side", [("RGB", 8), ("L", 28), ("RGB", 64)])
def test_the_sheet_is_cut_and_enlarged_without_blur(mode, side):
    images = np.arange(64, dtype=np.uint8)[:, None, None] * np.ones((1, side, side), dtype=np.uint8)
    pixels = images.reshape(8, 8, side, side).transpose(0, 2, 1, 3).reshape(8 * side, 8 * side)
    content = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(content, format="PNG")
    shown = np.asarray(samples._opened(content.getvalue()))[..., 0]
    expected = {line * 8 + column for line in range(5) for column in range(5)}
    assert set(np.unique(shown)) == expected | {255}
    assert shown[0, 0] == 0
    assert shown[-1, -1] == 36
