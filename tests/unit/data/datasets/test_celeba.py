"""CelebA, from its archive and unpacked, compared with torchvision's reader and DCGAN's crop."""

import shutil

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CelebA as Theirs

from benchmark.core.errors import UserError
from benchmark.data.acquire import import_raw_files
from benchmark.data.datasets import celeba
from benchmark.data.datasets.celeba import CelebA
from benchmark.data.prepared import open_prepared
from benchmark.data.raw import import_files
from benchmark.data.raw.checksums import md5_of
from benchmark.data.raw.examples import zip_of
from tests.support.damage import refused
from tests.support.examples import example_files


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """A folder with the images unpacked and the partition."""
    folder = tmp_path / "celeba"
    example_files(CelebA, folder, monkeypatch)
    shutil.unpack_archive(folder / celeba.ARCHIVE, folder)
    (folder / celeba.ARCHIVE).rename(tmp_path / "aside.zip")
    return tmp_path


def repartition(raw, content, monkeypatch):
    path = raw / "celeba" / celeba.PARTITION
    path.write_bytes(content)
    monkeypatch.setitem(CelebA.checksums, celeba.PARTITION, md5_of(content))


def test_faces_are_those_of_torchvision_cropped_and_resized(raw, monkeypatch):
    annotations = {"identity_CelebA.txt": " 1", "list_attr_celeba.txt": " 1 -1"}
    annotations |= {"list_bbox_celeba.txt": " 1 2 3 4", "list_landmarks_align_celeba.txt": " 1 2"}
    for name, fields in annotations.items():
        header = "" if "identity" in name else "9\nsome header\n"
        lines = [f"{number:06}.jpg{fields}\n" for number in range(1, 10)]
        (raw / "celeba" / name).write_text(header + "".join(lines))
    monkeypatch.setattr(Theirs, "_check_integrity", lambda self: True)
    prepared_data = open_prepared(CelebA.prepare(raw, raw / "cache"))
    for arrays, split, n in ((prepared_data.train, "train", 5), (prepared_data.test, "test", 3)):
        expected = Theirs(raw, split)
        assert len(arrays.images) == len(expected) == n
        assert (arrays.labels == -1).all()
        for image, (original, _) in zip(arrays.images, expected, strict=True):
            face = np.asarray(original)[55 : 55 + 108, 35 : 35 + 108]
            small = Image.fromarray(face).resize((64, 64), Image.Resampling.BILINEAR)
            assert np.array_equal(image.transpose(1, 2, 0), small)


def test_archive_and_folder_give_the_same_images_and_checksums_of_them(raw, monkeypatch):
    plain = open_prepared(CelebA.prepare(raw, raw / "plain"))
    folder = raw / "celeba/img_align_celeba"
    files = {f"img_align_celeba/{path.name}": path.read_bytes() for path in sorted(folder.iterdir(), reverse=True)}
    (raw / celeba.ARCHIVE).write_bytes(zip_of(files))
    monkeypatch.setitem(CelebA.checksums, celeba.ARCHIVE, md5_of(zip_of(files)))
    folder.rename(raw / "aside")
    packed = open_prepared(CelebA.prepare(raw, raw / "packed"))
    assert np.array_equal(plain.train.images, packed.train.images)
    assert np.array_equal(plain.test.images, packed.test.images)
    sources = plain.manifest["sources"]
    assert set(sources) == {celeba.PARTITION, "img_align_celeba train (5 files)", "img_align_celeba test (3 files)"}
    assert packed.manifest["sources"] == sources | {celeba.ARCHIVE: CelebA.checksums[celeba.ARCHIVE]}


def as_csv(raw, header="image_id,partition\n"):
    """Replace the partition by Kaggle's form of it."""
    path = raw / "celeba" / celeba.PARTITION
    lines = path.read_text().splitlines()
    path.unlink()
    csv = path.with_suffix(".csv")
    csv.write_text(header + "".join(line.replace(" ", ",") + "\n" for line in lines))
    return csv


@pytest.mark.parametrize("header", ["image_id,partition\n", ""])
def test_kaggles_partition_gives_the_same_images_and_checksums(raw, header):
    official = open_prepared(CelebA.prepare(raw, raw / "official"))
    as_csv(raw, header)
    assert CelebA.missing_files(raw) == []
    kaggle = open_prepared(CelebA.prepare(raw, raw / "kaggle"))
    assert kaggle.manifest == official.manifest


def test_a_partition_of_kaggle_with_other_splits_is_refused(raw):
    path = as_csv(raw)
    path.write_text(path.read_text().replace("000004.jpg,0", "000004.jpg,2"))
    message = refused(CelebA, raw)
    assert f"{path}: is not the official {celeba.PARTITION}" in message
    path.write_text("image_id;partition\n")
    assert "line 1 is 'image_id;partition', expected as in '000001.jpg,0'" in refused(CelebA, raw)


def test_the_published_checksum_is_of_lines_that_end_in_cr_and_lf():
    """The three splits are consecutive, so the official file can be written down and compared with its checksum."""
    splits = ((celeba.TRAIN, 1, 162_770), (celeba.VALIDATION, 162_771, 182_637), (celeba.TEST, 182_638, 202_599))
    lines = (f"{number:06}.jpg {split}\r\n" for split, first, last in splits for number in range(first, last + 1))
    assert md5_of("".join(lines).encode()) == CelebA.checksums[celeba.PARTITION]


def test_kaggles_layout_is_imported(raw, tmp_path):
    as_csv(raw)
    (tmp_path / "kaggle").mkdir()
    (raw / "celeba/img_align_celeba").rename(tmp_path / "kaggle/x")
    (tmp_path / "kaggle/img_align_celeba").mkdir()
    (tmp_path / "kaggle/x").rename(tmp_path / "kaggle/img_align_celeba/img_align_celeba")
    (raw / "celeba/list_eval_partition.csv").rename(tmp_path / "kaggle/list_eval_partition.csv")
    data = tmp_path / "data"
    files = import_raw_files(CelebA, [tmp_path / "kaggle"], data, lambda: CelebA.prepare(data, tmp_path / "cache"))
    assert len(files) == 10
    assert CelebA.is_prepared(tmp_path / "cache")


def test_import_without_the_partition_copies_nothing(raw, tmp_path, monkeypatch):
    (raw / "celeba" / celeba.PARTITION).rename(tmp_path / "partition.txt")
    monkeypatch.setattr(import_files, "_put", lambda *_: pytest.fail("a file was copied"))
    with pytest.raises(UserError) as raised:
        import_raw_files(CelebA, [raw / "celeba"], tmp_path / "data", lambda: None)
    assert "list_eval_partition.txt\n    or list_eval_partition.csv" in str(raised.value)
    assert "nothing was changed" in str(raised.value)
    assert not (tmp_path / "data").exists()


def test_import_completes_what_is_in_the_data_directory(raw, tmp_path):
    (tmp_path / "data").mkdir()
    partition = (raw / "celeba" / celeba.PARTITION).rename(tmp_path / "data" / celeba.PARTITION)
    data = tmp_path / "data"
    files = import_raw_files(CelebA, [raw / "celeba"], data, lambda: CelebA.prepare(data, tmp_path / "cache"))
    assert len(files) == 9
    assert partition.exists()


@pytest.mark.parametrize("where", [".", "CelebA/Img", "celeba/img_align_celeba"])
def test_images_are_found_in_the_usual_folders(raw, where):
    images = (raw / "celeba/img_align_celeba").rename(raw / "aside")
    assert "img_align_celeba.zip" in CelebA.missing_message(raw)
    (raw / where).mkdir(parents=True, exist_ok=True)
    images.rename(raw / where / "img_align_celeba")
    assert CelebA.missing_files(raw) == []
    CelebA.prepare(raw, raw / "cache")


def test_only_what_is_missing_is_named_and_how_to_get_it_by_hand(raw):
    (raw / "celeba" / celeba.PARTITION).unlink()
    problem = CelebA.missing_message(raw)
    assert celeba.PARTITION in problem
    assert celeba.ARCHIVE not in problem
    assert "browser" in problem


def test_an_absent_image_is_named(raw):
    (raw / "celeba/img_align_celeba/000003.jpg").unlink()
    message = refused(CelebA, raw)
    assert str(raw / "celeba/img_align_celeba") in message
    assert "1 of 9 images are missing, for example 000003.jpg" in message


@pytest.mark.parametrize("content", [b"", b"no image"])
def test_a_damaged_image_in_the_middle_is_named(raw, content):
    (raw / "celeba/img_align_celeba/000004.jpg").write_bytes(content)
    assert "img_align_celeba/000004.jpg: cannot be read as an image" in refused(CelebA, raw)


def test_an_image_that_is_too_small_is_named(raw):
    Image.new("RGB", (100, 218)).save(raw / "celeba/img_align_celeba/000004.jpg")
    assert "000004.jpg: is 100x218, at least 108x108 is needed" in refused(CelebA, raw)


def test_an_archive_with_another_checksum_is_refused(raw):
    (raw / "celeba/img_align_celeba").rename(raw / "aside")
    (raw / celeba.ARCHIVE).write_bytes(zip_of({"img_align_celeba/000001.jpg": b""}))
    message = refused(CelebA, raw)
    assert str(raw / celeba.ARCHIVE) in message
    assert CelebA.checksums[celeba.ARCHIVE] in message


def test_a_partition_with_another_checksum_is_refused(raw):
    path = raw / "celeba" / celeba.PARTITION
    path.write_bytes(path.read_bytes().replace(b" 2", b" 0"))
    message = refused(CelebA, raw)
    assert str(path) in message
    assert CelebA.checksums[celeba.PARTITION] in message


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("000002.jpg", "line 2 is '000002.jpg'"),
        ("000002.jpg 3", "line 2"),
        ("../../x.jpg 0", "line 2"),
        ("000001.jpg 0", "line 2"),
        ("000002.jpg 0\n000010.jpg 0", "lists 10 images, expected 9"),
    ],
)
def test_a_partition_with_other_lines_is_refused(raw, line, what, monkeypatch):
    content = (raw / "celeba" / celeba.PARTITION).read_text().replace("000002.jpg 0", line)
    repartition(raw, content.encode(), monkeypatch)
    message = refused(CelebA, raw)
    assert str(raw / "celeba" / celeba.PARTITION) in message
    assert what in message


def test_a_missing_line_is_noticed(raw, monkeypatch):
    content = (raw / "celeba" / celeba.PARTITION).read_text().splitlines(keepends=True)
    repartition(raw, "".join(content[:-1]).encode(), monkeypatch)
    assert "lists 8 images, expected 9" in refused(CelebA, raw)


def test_checksums_are_torchvisions():
    listed = {name: md5 for _, md5, name in Theirs.file_list}
    assert {name: listed[name] for name in CelebA.checksums} == CelebA.checksums
    assert CelebA.num_images == 202_599
