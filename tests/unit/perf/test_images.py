"""The measurement of image loading: both sides give the same images, and all figures are reported."""

import json
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmark.data.arrays import ArraySplit, PreparedData
from perf import images

QUICK = ["--images", "200", "--batch", "8", "--repeats", "2", "--seconds", "0.02"]


@pytest.fixture
def prepared():
    train, test, _ = images.Synthetic.read(None)
    return PreparedData(None, ArraySplit(train.images[:40], train.labels[:40]), test, {})


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(images.Synthetic, "length", 200)
    monkeypatch.setattr(images, "SETTLE_SECONDS", 0.0)


def test_both_sides_give_the_same_images_with_their_labels(prepared):
    """Every image of a batch is an image of the dataset, with its floats and its label."""
    dataset = images.PILDataset(prepared.train)
    expected = torch.stack([dataset[i][0] for i in range(40)])
    for next_batch in (images.sampler_batches(prepared, 8), images.loader_batches(dataset, 8, 0)):
        batch, labels = next_batch()
        assert batch.shape == (8, 3, 32, 32)
        assert batch.dtype == torch.float32
        assert (batch.min(), batch.max()) == (-1, 1)
        distances, places = (batch[:, None] - expected).abs().amax((2, 3, 4)).min(1)
        assert distances.max() < 1e-6
        assert labels.tolist() == prepared.train.labels[places].tolist()
    assert images.have_equal_values(prepared, dataset)


def test_the_loader_continues_after_an_epoch(prepared):
    next_batch = images.loader_batches(images.PILDataset(prepared.train), 8, 0)
    assert all(len(next_batch()[0]) == 8 for _ in range(3 * 40 // 8))


def test_a_rate_is_images_per_elapsed_second(monkeypatch):
    """The clock ticks each time it is read: batches begin at ticks 1 to 4, and at tick 5 the time is over."""
    ticks = count()
    monkeypatch.setattr(images, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    calls = []
    assert images.images_per_second(lambda: calls.append(1), 4.5, 64) == 4 * 64 / 5
    assert len(calls) == 10 + 4, "ten are not counted"


def test_speed_ups_are_taken_within_a_repeat():
    rates = {images.OURS: [100.0, 300.0, 50.0], "theirs": [10.0, 10.0, 10.0]}
    summary = images.summarise(rates)["theirs"]
    assert summary == {"images_per_second": [10, 10, 10], "speed_up": [5, 10, 30]}


def test_main_prints_a_table_and_writes_all_numbers(tmp_path, capsys):
    threads = torch.get_num_threads()
    result = images.main([*QUICK, "--json", str(tmp_path / "out.json")])
    written = json.loads((tmp_path / "out.json").read_text())
    assert written == json.loads(json.dumps(result))
    assert set(written["images_per_second"]) == {images.OURS, "DataLoader, 0 workers", "DataLoader, 2 workers"}
    assert all(len(values) == 2 and np.min(values) > 0 for values in written["images_per_second"].values())
    assert written["settings"]["images"] == 200
    assert {"cpu", "packages", "pillow"} <= set(written["environment"])
    assert images.OURS in capsys.readouterr().out
    assert torch.get_num_threads() == threads
