"""Feature extractors. Published networks are tested with random weights; only the checksum of theirs is pinned."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from benchmark.core import registry
from benchmark.core.errors import UserError
from benchmark.evaluation.extractors.inception import Inception
from benchmark.evaluation.extractors.inception_torchvision import InceptionTorchvision
from benchmark.evaluation.extractors.pixels import Pixels
from benchmark.evaluation.extractors.random_conv import RandomConv
from benchmark.evaluation.extractors.vgg16 import VGG16
from benchmark.evaluation.metrics.fid import FID
from benchmark.evaluation.metrics.inception_score import InceptionScore, score_over_splits
from benchmark.evaluation.metrics.kid import KID
from perf.seeded import random_state, with_checksum_of, write_inception
from tests.support.examples import NoFiles32
from tests.support.measures import CPU, measured, torch_fidelity, uint8


class Shape:
    def __init__(self, *shape, stacked=1):
        self.shape, self.stacked, self.is_points = shape, stacked, len(shape) == 1


# --- pixels --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [8, 16, 32, 64])
def test_a_pixel_feature_is_the_mean_of_its_area_in_0_to_1(side):
    images = uint8(3, shape=(3, side, side))
    step = side // 8
    expected = images.numpy().reshape(3, 3, 8, step, 8, step).mean((3, 5)) / 255
    output = Pixels(None, CPU)(images)
    np.testing.assert_allclose(output.features.numpy(), expected.reshape(3, 192), rtol=1e-12)
    assert output.logits.shape == (3, 0)


@pytest.mark.parametrize("side", [8, 9, 28, 31, 48])
@pytest.mark.parametrize("channels", [1, 3])
def test_black_is_0_and_white_1_for_any_size(side, channels):
    white = torch.full((2, channels, side, side), 255, dtype=torch.uint8)
    pixels = Pixels(None, CPU)
    assert pixels(white).features.shape == (2, channels * 64)
    assert (pixels(white).features - 1).abs().max() < 1e-12
    assert (pixels(torch.zeros_like(white)).features == 0).all()


def test_detail_within_an_area_does_not_change_the_features():
    fine = uint8(50, shape=(3, 8, 8)).repeat_interleave(2, 2).repeat_interleave(2, 3).clamp(20, 200)
    checks = torch.tensor([[10, -10], [-10, 10]]).repeat(8, 8)
    pixels = Pixels(None, CPU)
    other = pixels((fine.int() + checks).to(torch.uint8)).features
    np.testing.assert_allclose(other, pixels(fine).features, rtol=1e-12)


@pytest.mark.parametrize("extractor", [Pixels, RandomConv])
def test_images_of_at_least_8_pixels_are_supported(extractor):
    assert extractor.supports(Shape(3, 32, 32))
    assert extractor.supports(Shape(1, 8, 8))
    assert not extractor.supports(Shape(3, 7, 8))


# --- the random network --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (5, 9, 11)])
def test_the_random_network_takes_images_of_any_shape(shape):
    output = RandomConv(None, CPU)(uint8(7, shape=shape))
    assert (output.features.shape, output.logits.shape) == ((7, 64), (7, 16))
    assert output.features.dtype == output.logits.dtype == torch.float32
    assert output.features.std(0).min() > 0, "no feature is constant"


def test_the_random_network_is_deterministic_and_draws_no_global_random_numbers():
    images, stream = uint8(20), torch.get_rng_state()
    first = RandomConv(None, CPU)(images)
    torch.manual_seed(5)
    after = torch.get_rng_state()
    again = RandomConv(None, CPU)(images)
    assert torch.equal(torch.get_rng_state(), after)
    torch.set_rng_state(stream)
    assert torch.equal(first.features, again.features)
    assert torch.equal(first.logits, again.logits)
    parts = torch.cat([RandomConv(None, CPU)(part).features for part in images.split(3)])
    np.testing.assert_allclose(parts, first.features, rtol=1e-6, atol=1e-7)


# --- Inception and VGG-16 ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A data folder with an Inception file of random weights."""
    folder = tmp_path_factory.mktemp("data")
    write_inception(folder)
    return folder


@pytest.fixture(scope="module")
def inception(data_dir):
    """The extractor with two images per forward pass, as 16 would take long."""
    path = data_dir / "inception" / Inception.weights.files[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Inception, "weights", with_checksum_of(Inception.weights, path))
        patch.setattr(Inception, "batch_sizes", {"cpu": 2})
        stream = torch.get_rng_state()
        opened = Inception(Inception.prepare(None, None, data_dir), CPU)
        opened(FAKE[:1])
        convolution = opened.model.Mixed_7c.branch1x1.conv.weight
        assert convolution.is_contiguous(memory_format=torch.channels_last), "else every activation is laid out anew"
        assert torch.equal(torch.get_rng_state(), stream), "neither opening nor calling it draws global random numbers"
        yield opened


FAKE, REAL = uint8(4, 1, (3, 32, 32)), uint8(4, 2, (3, 32, 32))


@pytest.fixture(scope="module")
def seen(inception):
    return inception(FAKE), inception(REAL)


class EarlyInception(Inception):
    """The same network, stopped after its first pooling so that many images cost little."""

    layers = ("64",)
    batch_sizes: ClassVar = {"cpu": 4}


@pytest.mark.usefixtures("inception")
def test_fid_through_inception_equals_torch_fidelitys(data_dir, monkeypatch):
    """The features are the first 64 of the network: with the last 2,048 the eigenvalues alone take half a minute."""
    path = data_dir / "inception" / Inception.weights.files[0]
    monkeypatch.setattr(EarlyInception, "weights", with_checksum_of(Inception.weights, path))
    early = EarlyInception(path, CPU)
    fake, real = uint8(24, 3, (3, 32, 32)), uint8(20, 4, (3, 32, 32))
    expected = torch_fidelity(
        fake,
        real,
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(path),
        feature_layer_fid="64",
        fid=True,
    )
    fid = measured(FID, early(fake).features, early(real).features, extractor="inception")
    assert fid == {"fid": pytest.approx(expected["frechet_inception_distance"], rel=1e-4)}


def test_metrics_through_inception_equal_torch_fidelitys(seen, data_dir):
    fake, real = seen
    assert (fake.features.shape, fake.logits.shape) == ((4, 2048), (4, 1008))
    expected = torch_fidelity(
        FAKE,
        REAL,
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(data_dir / "inception" / Inception.weights.files[0]),
        batch_size=4,
        kid=True,
        isc=True,
        isc_splits=2,
        kid_subsets=5,
        kid_subset_size=3,
    )
    kid = measured(KID, fake.features, real.features, subsets=5, subset_size=3, extractor="inception")
    assert kid == {"kid": pytest.approx(expected["kernel_inception_distance_mean"], abs=1e-6, rel=1e-4)}
    mean, std = score_over_splits(fake.logits, splits=2)
    assert measured(InceptionScore, fake.features, logits=fake.logits, splits=2, extractor="inception") == {"isc": mean}
    assert mean == pytest.approx(expected["inception_score_mean"], rel=1e-4)
    rounding = mean * torch.finfo(torch.float32).eps  # of the scores of the splits, which differ by 1e-4 here
    assert std == pytest.approx(expected["inception_score_std"], rel=1e-4, abs=rounding)


def test_features_are_bit_identical_for_every_batch_size(inception, seen):
    first = inception(FAKE[:1])
    assert torch.equal(first.features, seen[0].features[:1])
    assert torch.equal(first.logits, seen[0].logits[:1])
    rest = inception(FAKE[1:3])
    assert torch.equal(rest.features, seen[0].features[1:3]), "another place in another chunk"


def test_no_images_have_no_features(inception):
    assert inception(FAKE[:0]).features.shape == (0, 2048)


def test_its_identity_is_the_checksum_and_it_keeps_no_gradients(inception):
    assert inception.identity == inception.weights.sha256
    assert not inception.model.training
    assert not any(parameter.requires_grad for parameter in inception.model.parameters())


def test_only_tensors_are_unpickled(tmp_path, monkeypatch):
    """This holds for a file with the right checksum too."""
    (tmp_path / "inception").mkdir()
    path = tmp_path / "inception" / Inception.weights.files[0]
    torch.save({"evil": Shape(1, 2, 3)}, path)
    monkeypatch.setattr(Inception, "weights", with_checksum_of(Inception.weights, path))
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        Inception(path, CPU)


def test_wrong_weights_are_refused_by_prepare_and_by_the_constructor(tmp_path):
    (tmp_path / "inception").mkdir()
    path = tmp_path / "inception" / Inception.weights.files[0]
    torch.save({}, path)
    for attempt in (lambda: Inception.prepare(None, None, tmp_path), lambda: Inception(path, CPU)):
        with pytest.raises(UserError, match=f"{path}: is not the published"):
            attempt()


class SmallVGG(torch.nn.Module):
    """Stands in for torchvision's VGG-16, which has half a gigabyte: one pooling replaces 31 layers."""

    def __init__(self):
        super().__init__()
        self.features = torch.nn.AdaptiveAvgPool2d(4)
        self.classifier = torch.nn.Sequential(*(torch.nn.Linear(48, 48) for _ in range(7)))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def test_vgg_16_gives_the_second_hidden_layer_after_its_relu_and_no_logits(tmp_path, monkeypatch):
    import torchvision

    monkeypatch.setattr(torchvision.models, "vgg16", SmallVGG)
    (tmp_path / "vgg16").mkdir()
    path = tmp_path / "vgg16" / "vgg16-397923af.pth"
    torch.manual_seed(0)
    model = SmallVGG()
    torch.save(model.state_dict(), path)
    monkeypatch.setattr(VGG16, "weights", with_checksum_of(VGG16.weights, path))
    monkeypatch.setattr(VGG16, "batch_sizes", {"cpu": 4})
    images = uint8(5, shape=(3, 32, 32))
    output = VGG16(VGG16.prepare(None, None, tmp_path), CPU)(images)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    pooled = model.features((images / 255 - mean) / std).flatten(1)
    expected = torch.nn.functional.relu(model.classifier[:4](pooled))
    assert output.logits.shape == (5, 0)
    assert output.features.shape == (5, 48)
    np.testing.assert_allclose(
        output.features, expected.detach(), rtol=0.1, atol=0.02
    )  # the reference resizes differently
    assert (output.features >= 0).all()


@pytest.fixture(scope="module")
def torchvision_net():
    """torchvision's Inception, auxiliary head included."""
    from torchvision.models import inception_v3

    with torch.device("meta"):
        net = inception_v3(weights=None, init_weights=False)
    state = random_state(net)
    net.load_state_dict(state, assign=True)
    return net.eval(), state


def save_state(folder, state, monkeypatch):
    (folder / "inception_torchvision").mkdir()
    path = folder / "inception_torchvision" / "inception_v3_google-0cc3c7bd.pth"
    torch.save(state, path)
    monkeypatch.setattr(InceptionTorchvision, "weights", with_checksum_of(InceptionTorchvision.weights, path))


def enlarged(images):
    """BigGAN-PyTorch's resizing for Inception, in NumPy: the corners of the two images coincide."""
    x = images.numpy() / 127.5 - 1
    x = ((x + 1) / 2 - np.reshape([0.485, 0.456, 0.406], (3, 1, 1))) / np.reshape([0.229, 0.224, 0.225], (3, 1, 1))
    places = np.linspace(0, images.shape[-1] - 1, 299)
    hats = np.maximum(1 - np.abs(places[:, None] - np.arange(images.shape[-1])), 0)
    return torch.from_numpy(hats @ x @ hats.T).float()


def test_torchvisions_inception_equals_biggans_wrapper(torchvision_net, tmp_path, monkeypatch):
    net, state = torchvision_net
    save_state(tmp_path, state, monkeypatch)
    monkeypatch.setattr(InceptionTorchvision, "batch_sizes", {"cpu": 2})
    images, stream = uint8(2, shape=(3, 32, 32)), torch.get_rng_state()
    extractor = InceptionTorchvision(InceptionTorchvision.prepare(None, None, tmp_path), CPU)
    output = extractor(images)
    assert torch.equal(torch.get_rng_state(), stream)
    assert (output.features.shape, output.logits.shape) == ((2, 2048), (2, 1000))
    assert not any(parameter.requires_grad for parameter in extractor.model.parameters())
    maps = []
    hook = net.Mixed_7c.register_forward_hook(lambda _, __, out: maps.append(out))
    with torch.no_grad():
        logits = net(enlarged(images))
    hook.remove()
    assert output.features.std() > 0.01
    torch.testing.assert_close(output.features, maps[0].flatten(2).mean(2), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(output.logits, logits, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("change", [lambda s: s.pop("AuxLogits.fc.bias"), lambda s: s.update(more=torch.zeros(1))])
def test_torchvisions_weights_must_be_complete_and_without_extras(torchvision_net, change):
    state = dict(torchvision_net[1])
    change(state)
    with pytest.raises(RuntimeError, match=r"AuxLogits.fc.bias|more"):
        InceptionTorchvision.build(state)


@pytest.mark.parametrize("extractor", [Inception, InceptionTorchvision, VGG16])
def test_published_networks_take_colour_images_except_stacks(extractor):
    assert extractor.supports(NoFiles32)
    assert extractor.supports(Shape(3, 64, 64))
    assert not extractor.supports(Shape(1, 28, 28))
    assert not extractor.supports(registry.datasets["stacked_digits"])


@pytest.mark.parametrize("name", list(registry.extractors))
def test_every_extractor_is_described(name):
    extractor = registry.extractors[name]
    assert extractor.name == name
    assert extractor.about.strip()
    assert extractor.title.strip()
    assert extractor.is_standard is (name == "inception")
