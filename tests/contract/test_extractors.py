"""What every registered extractor that needs no download must do."""

import numpy as np
import pytest
import torch

from benchmark.core import registry
from benchmark.data.prepared import open_prepared
from benchmark.evaluation.extractors import digits
from tests.support.examples import CPU

OFFLINE = [name for name in registry.extractors if not registry.extractors[name].needs_download]


@pytest.fixture(params=OFFLINE, scope="module")
def extractor_class(request):
    return registry.extractors[request.param]


@pytest.fixture(scope="module")
def dataset(extractor_class):
    bundled = (d for d in map(registry.datasets.__getitem__, registry.datasets) if d.is_bundled)
    return next(d for d in bundled if extractor_class.supports(d))


@pytest.fixture(scope="module")
def extractor(extractor_class, dataset, tmp_path_factory):
    raw, cache = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("instruments")
    prepared = open_prepared(dataset.prepare(raw, tmp_path_factory.mktemp("data")))
    assert extractor_class.missing_message(raw) is None
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(digits, "EPOCHS", {8: 1})  # what holds of a classifier here holds of a bad one
        return extractor_class(extractor_class.prepare(prepared, cache, raw), CPU)


@pytest.fixture(scope="module")
def images(dataset):
    rng = np.random.default_rng(0)
    if dataset.is_points:
        return torch.from_numpy(rng.standard_normal((40, *dataset.shape), np.float32))
    return torch.from_numpy(rng.integers(0, 256, (40, *dataset.shape), dtype=np.uint8))


def test_it_is_described(extractor_class, extractor):
    assert registry.extractors[extractor_class.name] is extractor_class
    assert extractor_class.about.strip()
    assert extractor_class.title.strip()
    assert extractor.identity.strip()


def test_its_metadata_with_titles_are_shares(extractor):
    assert set(extractor.metadata_titles) <= set(extractor.metadata)
    for key, title in extractor.metadata_titles.items():
        assert title.strip()
        assert 0 <= extractor.metadata[key] <= 1


def test_it_returns_a_row_per_image(extractor, images):
    found = extractor(images)
    assert len(found.features) == len(found.logits) == len(images)
    assert bool(found.logits.shape[1]) == extractor.has_logits
    assert torch.isfinite(found.features).all()
    assert not torch.isnan(found.logits).any()
    assert not found.features.requires_grad


def test_an_images_features_do_not_depend_on_its_batch(extractor, images):
    whole, alone = extractor(images), extractor(images[3:4])
    torch.testing.assert_close(whole.features[3:4], alone.features, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(whole.logits[3:4], alone.logits, rtol=1e-5, atol=1e-5)


def test_it_changes_neither_images_nor_random_state(extractor, images):
    before, stream = images.clone(), torch.get_rng_state()
    first, second = extractor(images), extractor(images)
    assert torch.equal(first.features, second.features)
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), stream)


def test_different_images_have_different_features(extractor, images):
    found = extractor(torch.stack([images[0], 255 - images[0]]))
    assert not torch.equal(found.features[0], found.features[1])
