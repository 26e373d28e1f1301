"""All measures of a protocol in one pass over the samples, and the stored features of the real images."""

import numpy as np
import pytest
import torch

from benchmark.core import registry
from benchmark.core.errors import UserError
from benchmark.core.protocol import metric_outputs
from benchmark.core.registry import EXTRACTORS
from benchmark.core.spec import Protocol
from benchmark.data.arrays import ArraySplit, PreparedData
from benchmark.data.reference import REFERENCE_SEED, reference_images
from benchmark.evaluation import references, sample_evaluator
from benchmark.evaluation.codecs import apply_codec
from benchmark.evaluation.extractors.random_conv import RandomConv
from benchmark.evaluation.metrics.feature_buffer import reference_features
from benchmark.evaluation.references import open_reference_features, prepare_references, write_features
from benchmark.evaluation.sample_evaluator import SampleEvaluator

CPU = torch.device("cpu")
N = 60
PASSES = {}  # extractor -> the batches of images that it received


class Watched(RandomConv):
    """The random network, which records the batches that it receives."""

    name = "watched"

    def __call__(self, images):
        PASSES.setdefault(self.name, []).append(images)
        return super().__call__(images)


class Second(Watched):
    """The same extractor under another name."""

    name = "second"

    @property
    def identity(self):
        return "another one"


@pytest.fixture(autouse=True)
def extractors(monkeypatch):
    PASSES.clear()
    for extractor in (Watched, Second):
        monkeypatch.setitem(EXTRACTORS, extractor.name, f"{__name__}:{extractor.__name__}")


@pytest.fixture
def codecs(monkeypatch):
    """The codecs that images were put through, batch by batch."""
    seen = []

    def watched(images, codec):
        seen.append(codec)
        return apply_codec(images, codec)

    monkeypatch.setattr(sample_evaluator, "apply_codec", watched)
    return seen


def noise(n, shape=(3, 16, 16), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def prepared(tmp_path, n=N, shape=(3, 16, 16), **manifest):
    train, test = (ArraySplit(noise(n, shape, seed), np.arange(n) % 10) for seed in (1, 2))
    return PreparedData(tmp_path, train, test, {"dataset": "noise"} | manifest)


class Noise:
    """The attributes of a dataset that an evaluation reads."""

    name, shape, stacked, digits = "noise", (3, 16, 16), 1, False


class Stacks(Noise):
    shape, stacked = (3, 16, 16), 3


def fid(n_fake=40, codec="none", metric="fid", **options):
    chosen = {"extractor": "watched"} | options
    return {"metric": metric, "n_fake": n_fake, "codec": codec, "options": chosen}


def protocol(**measures):
    return Protocol.model_validate({"measures": measures})


FOUR = {
    "isc_few": fid(10, metric="isc", splits=2),
    "fid": fid(40, n_real=50),
    "fid_jpeg": fid(25, "jpeg", n_real=50, reference="test"),
    "kid": fid(33, metric="kid", subsets=3, subset_size=10, n_real=30),
    "prc_second": fid(20, metric="prc", extractor="second", n_real=20),
}


def prepare(of, cache, data, dataset=Noise):
    cache.mkdir(exist_ok=True)
    return prepare_references(of, dataset, data, cache, cache)


def evaluator_of(of, tmp_path):
    data = prepared(tmp_path)
    evaluator = SampleEvaluator(of, prepare(of, tmp_path / "cache", data), CPU)
    PASSES.clear()
    return evaluator


def batches(n=N, size=16):
    return torch.from_numpy(noise(n, seed=3)).split(size)


def folders(cache):
    return {path.name for path in cache.glob("real-*")}


# --- one pass ------------------------------------------------------------------------------------------


def test_a_batch_passes_each_codec_and_extractor_once_and_only_as_far_as_needed(tmp_path, codecs):
    evaluator = evaluator_of(protocol(**FOUR), tmp_path)
    codecs.clear()
    given = iter(batches())
    evaluator.evaluate(given)
    assert [len(images) for images in PASSES["second"]] == [16, 4]
    sizes = sorted(len(images) for images in PASSES["watched"])
    assert sizes == sorted([16, 16, 8, 16, 9]), "40 as they are, for three measures; 25 as JPEG"
    assert codecs == ["none", "jpeg", "none", "jpeg", "none"], "the third batch is wanted by fid and kid alone"
    images = torch.cat(batches())
    raw = [shown for shown in PASSES["watched"] if any(torch.equal(shown, part[: len(shown)]) for part in batches())]
    assert torch.equal(torch.cat(raw), images[:40])
    assert torch.equal(torch.cat(PASSES["second"]), images[:20])


def test_a_codec_that_changes_nothing_shares_the_pass_of_the_images(tmp_path):
    stretched = protocol(fid=fid(40, n_real=50), isc=fid(40, "min_max", "isc", splits=2))
    evaluator = evaluator_of(stretched, tmp_path)
    full = [batch.clone() for batch in batches()]
    for batch in full:
        batch[0, 0, 0, :2] = torch.tensor([0, 255])
    values = evaluator.evaluate(full).values
    assert [len(images) for images in PASSES["watched"]] == [16, 16, 8]
    PASSES.clear()
    narrow = [batch // 2 for batch in full]
    assert evaluator.evaluate(narrow).values.keys() == values.keys()
    assert sorted(len(images) for images in PASSES["watched"]) == [8, 8, 16, 16, 16, 16]


@pytest.mark.parametrize("size", [1, 16, 60])
def test_measures_give_the_same_values_together_and_alone(tmp_path, size):
    together = evaluator_of(protocol(**FOUR), tmp_path).evaluate(batches(size=size)).values
    alone = {}
    for label, measure in FOUR.items():
        n = measure["n_fake"]
        alone |= evaluator_of(protocol(**{label: measure}), tmp_path).evaluate(batches(n, size=7)).values
    assert list(together) == list(alone)
    assert together == pytest.approx(alone, rel=1e-6, abs=1e-9)


def test_more_samples_than_a_measure_takes_change_nothing(tmp_path):
    evaluator = evaluator_of(protocol(fid=fid(40)), tmp_path)
    changed = torch.cat(batches()).clone()
    whole = evaluator.evaluate([changed])
    changed[40:] = 0
    assert evaluator.evaluate([changed]) == whole
    changed[39] = 0
    assert evaluator.evaluate([changed]) != whole


@pytest.mark.parametrize("labels", [list(FOUR), list(reversed(FOUR))])
def test_values_are_in_protocol_order_with_suffixes(tmp_path, labels):
    chosen = protocol(**{label: FOUR[label] for label in labels})
    values = evaluator_of(chosen, tmp_path).evaluate(batches()).values
    assert list(values) == list(metric_outputs(chosen))
    own = {"isc_few": "_few", "fid": "", "fid_jpeg": "_jpeg", "kid": "", "prc_second": "_second"}
    for label, suffix in own.items():
        metric = registry.metrics[FOUR[label]["metric"]]
        options = metric.Options.model_validate(FOUR[label]["options"])
        assert {output.key + suffix for output in metric.outputs(options)} <= set(values), label


def test_too_few_samples_are_an_error_that_names_the_measure(tmp_path):
    with pytest.raises(ValueError, match=r"^fid_more: no samples left, 3 more are wanted"):
        evaluator_of(protocol(fid=fid(40), fid_more=fid(63)), tmp_path).evaluate(batches())


def test_the_codec_is_applied_before_the_extractor(tmp_path):
    given = torch.cat(batches())
    raw = evaluator_of(protocol(isc=fid(60, metric="isc", splits=2)), tmp_path)
    jpeg = evaluator_of(protocol(isc=fid(60, "jpeg", metric="isc", splits=2)), tmp_path)
    assert jpeg.evaluate([given]) == raw.evaluate([apply_codec(given, "jpeg")]) != raw.evaluate([given])


def test_an_evaluator_can_be_used_again(tmp_path):
    evaluator = evaluator_of(protocol(**FOUR), tmp_path)
    first = evaluator.evaluate(batches())
    evaluator.evaluate([torch.zeros(N, 3, 16, 16, dtype=torch.uint8)])
    assert evaluator.evaluate(batches()) == first


# --- real images ---------------------------------------------------------------------------------------


def extracted_images(of, tmp_path, data, dataset=Noise):
    """The real images whose features are extracted, and the folder of the features."""
    cache = tmp_path / "cache"
    PASSES.clear()
    assets = prepare(of, cache, data, dataset)
    ((folder, _),) = assets.references.values()
    return torch.cat(PASSES["watched"]), folder


def test_references_are_the_first_images_of_a_fixed_shuffle_in_the_order_of_the_split(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmark.data.reference.CHUNK", 7)
    data = prepared(tmp_path)
    for reference, n in (("train", 20), ("test", 50)):
        images, folder = extracted_images(protocol(fid=fid(reference=reference, n_real=n)), tmp_path, data)
        places = np.sort(np.random.default_rng(REFERENCE_SEED).permutation(N)[:n])
        split = getattr(data, reference)
        assert np.array_equal(images.numpy(), split.images[places])
        features = RandomConv(tmp_path, CPU)(images).features.numpy()
        np.testing.assert_allclose(open_reference_features(folder).features, features, rtol=1e-5, atol=1e-6)


def test_without_n_real_references_are_the_whole_split(tmp_path):
    data = prepared(tmp_path)
    images, folder = extracted_images(protocol(fid=fid()), tmp_path, data)
    assert np.array_equal(images.numpy(), data.train.images)
    assert open_reference_features(folder).features.shape == (N, RandomConv.width)


def test_references_of_stacked_images_are_fixed_stacks(tmp_path):
    data = prepared(tmp_path, shape=(1, 16, 16))
    of = protocol(fid=fid(n_real=3 * N))
    images, _ = extracted_images(of, tmp_path, data, Stacks)
    assert images.shape == (3 * N, 3, 16, 16), "more than there are single images"
    assert torch.equal(images, torch.cat(list(reference_images(data.train, Stacks, 3 * N))))
    parts = {part.tobytes() for part in data.train.images}
    assert {part.tobytes() for part in images.numpy().reshape(-1, 16, 16)} <= parts
    assert len({stack.tobytes() for stack in images.numpy()}) > 2.9 * N, "stacks differ"


def test_more_references_than_images_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"fid_all: n_real is 61, and the train split of noise has 60 images"):
        prepare(protocol(fid_all=fid(n_real=61)), tmp_path / "cache", prepared(tmp_path))


def test_the_codec_is_applied_to_real_images_too(tmp_path):
    data = prepared(tmp_path)
    images, _ = extracted_images(protocol(fid=fid(codec="jpeg")), tmp_path, data)
    assert torch.equal(images, apply_codec(torch.from_numpy(data.train.images), "jpeg"))


# --- what is kept --------------------------------------------------------------------------------------


def test_preparing_again_extracts_and_writes_nothing(tmp_path):
    data, cache = prepared(tmp_path), tmp_path / "cache"
    first = prepare(protocol(**FOUR), cache, data)
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    PASSES.clear()
    assert prepare(protocol(**FOUR), cache, data) == first
    assert PASSES == {}
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before


def test_measures_that_compare_with_the_same_images_share_their_features(tmp_path):
    cache = tmp_path / "cache"
    of = protocol(fid=fid(), fid_few=fid(20), kid=fid(metric="kid", subsets=2, subset_size=9))
    assets = prepare(of, cache, prepared(tmp_path))
    assert len({folder for folder, _ in assets.references.values()}) == len(folders(cache)) == 1
    assert len(PASSES["watched"]) == 1
    assert assets.references["fid"] == assets.references["fid_few"]
    assert assets.references["fid"][1] != assets.references["kid"][1], "each metric has its own statistics"
    assert all(summary.is_file() for _, summary in assets.references.values())


@pytest.mark.parametrize(
    ("measure", "manifest"),
    [
        (fid(codec="jpeg"), {}),
        (fid(extractor="second"), {}),
        (fid(reference="test"), {}),
        (fid(n_real=N - 1), {}),
        (fid(), {"sources": {"noise": "another checksum"}}),
    ],
    ids=["codec", "extractor", "split", "n_real", "data"],
)
def test_what_changes_the_features_changes_the_folder(tmp_path, measure, manifest):
    cache = tmp_path / "cache"
    first = prepare(protocol(fid=fid()), cache, prepared(tmp_path)).references["fid"][0]
    other = prepare(protocol(fid=measure), cache, prepared(tmp_path, **manifest)).references["fid"][0]
    assert other != first
    assert folders(cache) == {first.name, other.name}


def test_the_number_of_samples_does_not_change_the_folder(tmp_path):
    cache = tmp_path / "cache"
    of = [prepare(protocol(fid=fid(n)), cache, prepared(tmp_path)) for n in (20, 30)]
    assert of[0] == of[1]


@pytest.mark.parametrize("stops", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_extraction_leaves_no_folder(tmp_path, monkeypatch, stops):
    monkeypatch.setattr("benchmark.data.reference.CHUNK", 25)
    cache, whole = tmp_path / "cache", Watched.__call__

    def interrupted(self, images):
        if len(PASSES.get(self.name, [])) == 2:
            raise stops
        return whole(self, images)

    with monkeypatch.context() as patched:
        patched.setattr(Watched, "__call__", interrupted)
        with pytest.raises(stops):
            prepare(protocol(fid=fid()), cache, prepared(tmp_path))
    assert list(cache.iterdir()) == []
    (folder, _) = prepare(protocol(fid=fid()), cache, prepared(tmp_path)).references["fid"]
    assert np.all(open_reference_features(folder).features.any(axis=1)), "no row was left empty"


def test_an_interruption_before_the_statistics_keeps_the_features(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    with monkeypatch.context() as patched:
        patched.setattr(registry.metrics["fid"], "reference_statistics", classmethod(lambda *_: 1 / 0))
        with pytest.raises(ZeroDivisionError):
            prepare(protocol(fid=fid()), cache, prepared(tmp_path))
    PASSES.clear()
    _, summary = prepare(protocol(fid=fid()), cache, prepared(tmp_path)).references["fid"]
    assert PASSES == {}
    with np.load(summary) as saved:
        assert len(saved.files) > 0


def test_another_run_that_was_faster_is_no_error(tmp_path, monkeypatch):
    """It finishes the same folder while this one extracts features."""
    data, cache = prepared(tmp_path), tmp_path / "cache"
    whole = write_features

    def raced(folder, given, n):
        given = list(given)
        whole(folder, iter(given), n)
        whole(folder, iter(given), n)

    monkeypatch.setattr(references, "write_features", raced)
    folder, _ = prepare(protocol(fid=fid()), cache, data).references["fid"]
    assert {path.name for path in cache.iterdir()} == {folder.name}
    assert open_reference_features(folder).features.shape == (N, RandomConv.width)


def test_features_are_memory_mapped(tmp_path):
    assets = prepare(protocol(fid=fid()), tmp_path / "cache", prepared(tmp_path))
    features = open_reference_features(assets.references["fid"][0]).features
    assert isinstance(features, np.memmap)
    tensor = reference_features(open_reference_features(assets.references["fid"][0]))
    before = (assets.references["fid"][0] / "features.npy").read_bytes()
    tensor.fill_(7)
    assert (assets.references["fid"][0] / "features.npy").read_bytes() == before, (
        "a write to the tensor does not reach the file"
    )
    evaluator = SampleEvaluator(protocol(fid=fid()), assets, CPU)
    assert isinstance(evaluator.references["fid"][0].features, np.memmap)


@pytest.mark.parametrize("metric", ["kid", "prc"])
def test_an_evaluation_does_not_copy_real_features(tmp_path, metric):
    options = {"subsets": 2, "subset_size": 10} if metric == "kid" else {}
    evaluator = evaluator_of(protocol(**{metric: fid(metric=metric, **options)}), tmp_path)
    ((real, _),) = evaluator.references.values()
    opened = evaluator.open_metric(evaluator.metrics[0])
    assert opened.real.data_ptr() == real.features.ctypes.data


def test_logits_are_stored_beside_the_features_if_there_are_any(tmp_path):
    data, cache = prepared(tmp_path), tmp_path / "cache"
    of = protocol(fid=fid(), fid_pixels=fid(extractor="pixels"))
    with_logits, without = (
        open_reference_features(folder) for folder, _ in prepare(of, cache, data).references.values()
    )
    expected = RandomConv(tmp_path, CPU)(torch.from_numpy(data.train.images)).logits
    np.testing.assert_allclose(with_logits.logits, expected, rtol=1e-5, atol=1e-6)
    assert without.logits.shape == (N, 0)


def test_discriminator_metrics_are_ignored(tmp_path):
    of = protocol(fid=fid(), rotation_accuracy={"options": {"n_test": 5}})
    evaluator = evaluator_of(of, tmp_path)
    assert [one.label for one in evaluator.metrics] == ["fid"]
    assert list(evaluator.evaluate(batches()).values) == [
        key for key in metric_outputs(of) if key != "rotation_accuracy"
    ]


def test_metadata_and_identities_are_those_of_the_extractors_in_use(tmp_path):
    evaluator = evaluator_of(protocol(fid=fid(), fid_second=fid(extractor="second")), tmp_path)
    assert evaluator.identities == {"watched": Watched(tmp_path, CPU).identity, "second": "another one"}
    assert evaluator.metadata == {}
