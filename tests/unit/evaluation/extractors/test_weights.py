"""Published weights: search, pinned checksums, fetching, importing and listing."""

import hashlib
import json
import sys
from dataclasses import replace

import pytest
import torch

from benchmark.cli import app
from benchmark.core.errors import UserError
from benchmark.evaluation.extractors import weights as module
from benchmark.evaluation.extractors.weights import INCEPTION, VGG16, WEIGHTS
from tests.unit.data.raw.test_download import CONTENT, Server, serving


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty cache of torch.hub instead of this machine's."""
    folder = tmp_path / "hub" / "checkpoints"
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder.parent))
    return folder


@pytest.fixture
def small(monkeypatch):
    """Inception's entry with the checksum of a small file and the address of a server that is not running yet."""
    entry = replace(INCEPTION, sha256=hashlib.sha256(CONTENT).hexdigest(), size=len(CONTENT))
    monkeypatch.setitem(module.WEIGHTS, "inception", entry)
    return entry


@pytest.fixture
def offered(small, monkeypatch):
    with serving() as server:
        entry = replace(small, urls=(server.url,))
        monkeypatch.setitem(module.WEIGHTS, "inception", entry)
        yield server


@pytest.fixture
def datasets(monkeypatch, capsys, tmp_path):
    def run(*arguments):
        here = ["--workspace", str(tmp_path / "ws"), "--data-dir", str(tmp_path / "data")]
        monkeypatch.setattr(sys, "argv", ["benchmark", "datasets", *map(str, arguments), *here])
        with pytest.raises(SystemExit) as ended:
            app.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    return run


def put(folder, name=INCEPTION.files[0], content=CONTENT):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


# --- pinned --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=list(WEIGHTS))
def test_the_pinned_sum_begins_as_every_name_and_address_says(weights):
    assert len(weights.sha256) == 64
    for name in (*weights.files, *weights.urls):
        assert name.removesuffix(".pth").rpartition("-")[2] == weights.sha256[:8]
    assert all(url.rpartition("/")[2] in weights.files and url.startswith("https://") for url in weights.urls)


def test_another_file_is_refused_by_name(small, tmp_path):
    path = put(tmp_path / "inception", content=CONTENT[:-1])
    for attempt in (small.prepare, small.fetch):
        with pytest.raises(UserError) as refused:
            attempt(tmp_path)
        assert f"{path}: is not the published {INCEPTION.files[0]}" in str(refused.value)
        assert small.sha256 in str(refused.value)
        assert "datasets fetch inception" in str(refused.value)


# --- search --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", INCEPTION.files)
@pytest.mark.parametrize("place", ["data/inception", "data", "hub/checkpoints"])
def test_the_file_is_found_in_each_folder_by_each_name(name, place, small, tmp_path):
    assert small.find(tmp_path / "data") is None
    path = put(tmp_path / place, name)
    assert small.find(tmp_path / "data") == small.prepare(tmp_path / "data") == path
    assert small.missing_message(tmp_path / "data") is None


def test_its_own_folder_comes_first_and_the_cache_of_torch_last(small, tmp_path, hub):
    cached = put(hub)
    assert small.find(tmp_path) == cached
    loose = put(tmp_path)
    assert small.find(tmp_path) == loose
    assert small.find(tmp_path) != put(hub, INCEPTION.files[1])
    assert put(tmp_path / "inception", INCEPTION.files[1]) == small.find(tmp_path)


def test_the_message_about_missing_weights_fits_a_screen(tmp_path):
    message = INCEPTION.missing_message(tmp_path)
    for expected in (
        f"python -m benchmark datasets fetch inception --data-dir {tmp_path}",
        "datasets import inception PATH",
        INCEPTION.urls[0],
        str(tmp_path / "inception"),
        "96 MB",
    ):
        assert expected in message
    assert len(message.splitlines()) <= 10
    with pytest.raises(UserError, match="datasets fetch vgg16"):
        VGG16.prepare(tmp_path)


# --- the commands --------------------------------------------------------------------------------------


def test_fetch_downloads_checks_and_does_nothing_again(datasets, offered, tmp_path):
    code, output = datasets("fetch", "inception")
    assert code == 0, output
    path = tmp_path / "data" / "inception" / INCEPTION.files[0]
    assert path.read_bytes() == CONTENT
    assert "nothing to download" in datasets("fetch", "inception")[1]
    assert len(offered.requested_ranges) == 1
    assert not (tmp_path / "ws").exists()


def test_fetch_resumes_a_broken_download(datasets, offered, tmp_path, monkeypatch):
    monkeypatch.setattr(Server, "cut", 1000)
    code, output = datasets("fetch", "inception")
    assert code == 2
    assert "1,000 of 512,000 bytes" in output
    monkeypatch.setattr(Server, "cut", None)
    assert datasets("fetch", "inception")[0] == 0
    assert offered.requested_ranges == [None, "bytes=1000-"]


def test_fetch_refuses_another_file(datasets, offered, tmp_path, monkeypatch):
    monkeypatch.setattr(Server, "content", b"<html>Please sign in</html>")
    code, output = datasets("fetch", "inception")
    assert code == 2
    assert "its SHA256 is" in output
    assert list((tmp_path / "data" / "inception").iterdir()) == []


def test_fetch_finds_the_file_in_the_cache_of_torch(datasets, small, hub):
    path = put(hub)
    code, output = datasets("fetch", "inception")
    assert code == 0
    assert str(path) in output


@pytest.mark.parametrize("name", INCEPTION.files)
@pytest.mark.parametrize("link", [False, True])
def test_import_takes_it_from_any_folder_by_any_of_its_names(name, link, datasets, small, tmp_path):
    mine = put(tmp_path / "disk" / "old", name)
    code, output = datasets("import", "inception", tmp_path / "disk", *(["--link"] if link else []))
    assert code == 0, output
    path = tmp_path / "data" / "inception" / INCEPTION.files[0]
    assert path.read_bytes() == CONTENT
    assert path.samefile(mine) is link
    assert "all files were already there" in datasets("import", "inception", mine)[1]


@pytest.mark.parametrize("content, expected", [(b"other", "is not the published"), (None, "nothing was changed")])
def test_import_of_another_file_or_of_none_leaves_nothing(content, expected, datasets, small, tmp_path):
    (tmp_path / "disk").mkdir()
    if content:
        put(tmp_path / "disk", content=content)
    code, output = datasets("import", "inception", tmp_path / "disk")
    assert code == 2
    assert expected in output
    assert not (tmp_path / "data").exists()


def test_the_list_shows_the_state_of_weights(datasets, small, tmp_path):
    state = lambda: json.loads(datasets("--json")[1])["inception"]  # noqa: E731
    assert state()["state"] == "missing"
    assert "datasets fetch inception" in state()["how_to_get"]
    put(tmp_path / "data")
    assert state()["state"] == "found"
    put(tmp_path / "data", content=CONTENT[:9])
    assert state()["state"] == "corrupt"
    code, output = datasets()
    assert code == 0
    assert "vgg16" in output
    assert "corrupt" in output


@pytest.mark.parametrize("command", [("prepare",), ("verify",)])
def test_weights_are_not_a_dataset(command, datasets, tmp_path):
    code, output = datasets(*command, "inception")
    assert code == 2
    assert "weights and not a dataset" in output


@pytest.mark.parametrize("typed, meant", [("incepton", "inception"), ("vgg_16", "vgg16"), ("cifar01", "cifar10")])
def test_an_unknown_name_gets_the_nearest_spelling(typed, meant, datasets, tmp_path):
    code, output = datasets("fetch", typed)
    assert code == 2
    assert f"did you mean '{meant}'?" in output
    assert not (tmp_path / "data").exists()
