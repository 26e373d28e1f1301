"""Which folders of a user's images are splits and which are classes, in words and in labels."""

import pytest

from benchmark.core.errors import UserError
from benchmark.data.raw.examples import write_files
from benchmark.data.raw.folder_layout import class_labels, image_roots, image_states, read_layout


def put(root, *names):
    write_files(root, dict.fromkeys(names, b"x"))


def images(*folders, n=2):
    return [f"{folder}/{number}.png" for folder in folders for number in range(n)]


def names_and_labels(split):
    return dict(split.items)


def test_labels_follow_the_bytes_of_names():
    assert class_labels(["ä/1.jpg", "Z/1.jpg", "a/x/1.jpg", "1.jpg"]) == {"": -1, "Z": 0, "a": 1, "ä": 2}


@pytest.mark.parametrize(
    ("train", "held_out"),
    [("train", "test"), ("Train", "Test"), ("training", "validation"), ("TRAIN", "val"), ("train", "valid")],
)
def test_usual_names_of_splits_are_recognised_in_any_case(train, held_out, tmp_path):
    put(tmp_path, *images(f"{train}/cats", f"{train}/dogs", n=3), *images(f"{held_out}/cats", f"{held_out}/dogs"))
    layout = read_layout(tmp_path)
    assert names_and_labels(layout.train) == dict(zip(images("cats", "dogs", n=3), [0] * 3 + [1] * 3, strict=True))
    assert names_and_labels(layout.test) == dict(zip(images("cats", "dogs"), [0, 0, 1, 1], strict=True))
    expected = f"6 images for training in {train}, 4 held out in {held_out}; 2 classes (cats, dogs)"
    assert layout.notes == {"layout": expected}


def test_of_three_splits_the_validation_images_are_not_used_which_is_said(tmp_path):
    put(tmp_path, *images("train/a", n=3), *images("val/a"), *images("test/a", n=1))
    layout = read_layout(tmp_path)
    assert (len(layout.train.items), len(layout.test.items)) == (3, 1)
    assert layout.notes["layout"].startswith("3 images for training in train, 1 held out in test, 2 in val not used")


def test_of_a_training_split_alone_every_tenth_image_is_held_out(tmp_path):
    put(tmp_path, *images("train/cats", "train/dogs", n=10))
    layout = read_layout(tmp_path)
    assert layout.notes["layout"] == ("train: 18 images for training, 2 held out (every tenth); 2 classes (cats, dogs)")
    assert names_and_labels(layout.test) == {"cats/9.png": 0, "dogs/9.png": 1}


def test_a_folder_without_splits_or_classes(tmp_path):
    put(tmp_path, *(f"{number}.png" for number in range(12)))
    assert read_layout(tmp_path).notes["layout"] == "11 images for training, 1 held out (every tenth); no classes"


def test_images_outside_class_folders_are_counted(tmp_path):
    put(tmp_path, *images("cats", n=10), "1.png", "2.png")
    assert (
        read_layout(tmp_path).notes["layout"].endswith("1 class (cats); 2 images outside class folders have no class")
    )


@pytest.mark.parametrize(
    "names",
    [
        [*images("train/b", "train/c"), *images("test/a", "test/c")],
        [*(f"b/{k}.png" for k in range(5)), *(f"c/{k}.png" for k in range(4)), "d/1.png"],
    ],
    ids=["test folder", "every tenth"],
)
def test_a_class_without_training_images_is_no_class(names, tmp_path):
    """A conditional GAN would sample it without ever having seen it."""
    put(tmp_path, *names)
    layout = read_layout(tmp_path)
    assert {label for _, label in layout.train.items} == {0, 1}
    (absent,) = {name.split("/")[0] for name, label in layout.test.items if label == -1}
    assert {label for name, label in layout.test.items if not name.startswith(absent)} <= {0, 1}
    assert "2 classes (b, c)" in layout.notes["layout"]
    assert f"no class, as no training image is of theirs (for example {absent})" in layout.notes["layout"]


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (images("train/a", "Training/a"), "Training and train may be the same split"),
        (images("train/a", "val/a", "valid/a"), "train and val and valid may be the same split"),
        (images("test/a", "cats"), "has test but no folder train: are these splits or classes"),
        (images("valid", "invalid", n=10), "rename valid, for example to class_valid"),
        ([*images("train/a", "test/a", "birds"), "x.png"], "holds 3 images outside test and train (for example"),
        (images("imagenette/train/a", "imagenette/val/a", n=9), "is in a folder called train below"),
        (images("bottle/train/good", "bottle/test/broken", n=9), "splits must be at the first level"),
        (images("train/a/test", "test/a"), "is in a folder called test below"),
    ],
)
def test_an_ambiguous_folder_is_refused(names, problem, tmp_path):
    put(tmp_path, *names)
    with pytest.raises(UserError) as raised:
        read_layout(tmp_path)
    assert problem in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_what_is_left_out_is_counted_and_named(tmp_path):
    put(tmp_path, *images("train/a", n=3), *images("test/a"), "train/a/1.avif", "test/a/2.avif", "train/@eaDir/1.png")
    for number in range(4):
        (tmp_path / f"train/a/link{number}.png").symlink_to(tmp_path / "train/a/0.png")
    assert read_layout(tmp_path).notes["left_out"] == (
        "files that end in .avif: 2 (for example a/1.avif, a/2.avif);"
        " folders of other programs: 1 (for example @eaDir);"
        " links, which are not followed: 4 (for example a/link0.png, a/link1.png, a/link2.png)"
    )


def test_a_split_may_be_a_link(tmp_path):
    put(tmp_path / "elsewhere", *images("a", n=3))
    put(tmp_path / "root", *images("test/a"))
    (tmp_path / "root/train").symlink_to(tmp_path / "elsewhere")
    assert len(read_layout(tmp_path / "root").train.items) == 3


def test_the_states_are_of_the_images_that_are_used(tmp_path):
    put(tmp_path, *images("train/a"), *images("test/a", n=1), *images("val/a"), "train/a/notes.txt")
    assert image_roots(tmp_path) == [tmp_path / "train", tmp_path / "test"]
    states = image_states(tmp_path)
    assert set(states) == {"train/a/0.png", "train/a/1.png", "test/a/0.png"}
    assert states["test/a/0.png"] == (1, (tmp_path / "test/a/0.png").stat().st_mtime_ns)
