"""`datasets` and its commands: fetch, import, prepare, verify."""

import hashlib
import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli import app
from benchmark.data.datasets.stacked_mnist import StackedMNIST
from benchmark.data.raw import fetch as fetching
from benchmark.data.raw import sources
from benchmark.data.raw.download import Download
from benchmark.store.workspace import Workspace, as_options
from tests.support.examples import small_mnist
from tests.unit.data.raw.test_download import Server, serving


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """A folder somewhere else with MNIST's files, among others."""
    folder = tmp_path / "disk" / "old" / "mnist stuff"
    folder.mkdir(parents=True)
    small_mnist(folder, monkeypatch)
    (folder / "notes.txt").write_text("mine")
    return folder


@pytest.fixture
def datasets(monkeypatch, capsys, tmp_path):
    """The command line, with a workspace and a data directory of its own."""

    def run(*arguments, at_home=True):
        here = ["--workspace", str(tmp_path / "ws"), "--data-dir", str(tmp_path / "data")] if at_home else []
        monkeypatch.setattr(sys, "argv", ["benchmark", "datasets", *map(str, arguments), *here])
        with pytest.raises(SystemExit) as ended:
            app.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    return run


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def state(datasets, name="stacked_mnist"):
    return json.loads(datasets("--json")[1])[name]


# --- the list ------------------------------------------------------------------------------------------


def test_the_list_tells_each_state(datasets, raw, tmp_path):
    assert state(datasets)["state"] == "missing"
    assert "datasets fetch stacked_mnist" in state(datasets)["how_to_get"]
    raw.rename(tmp_path / "data")
    assert state(datasets)["state"] == "raw files found"
    assert datasets("prepare", "stacked_mnist")[0] == 0
    found = state(datasets)
    assert (found["state"], found["how_to_get"]) == ("prepared", "")
    assert found["size"].startswith("35 + 20")
    array = StackedMNIST.prepared_dir(tmp_path / "ws" / "data") / "train_images.npy"
    array.write_bytes(array.read_bytes()[:-9])
    assert state(datasets)["state"] == "corrupt"
    assert str(array) in state(datasets)["how_to_get"]
    code, said = datasets()
    assert code == 0
    assert "corrupt" in said
    assert "CC BY-SA 3.0" in said


def test_an_option_in_the_wrong_place_is_not_ignored(datasets):
    code, said = datasets("--data-dir", "x", "prepare", "stacked_mnist", at_home=False)
    assert code == 2
    assert "--data-dir: write it after `prepare`" in said


@pytest.mark.parametrize("command", [("prepare",), ("fetch",), ("import", "."), ("verify",)])
def test_an_unknown_dataset_is_refused_with_the_nearest_name(command, datasets, tmp_path):
    code, said = datasets(command[0], "stacked_mnits", *command[1:])
    assert code == 2
    assert "did you mean 'stacked_mnist'?" in said
    assert list(tmp_path.iterdir()) == []


# --- prepare -------------------------------------------------------------------------------------------


def test_prepare_without_files_says_what_is_missing(datasets, tmp_path):
    code, said = datasets("prepare", "stacked_mnist")
    assert code == 2
    assert "train-images-idx3-ubyte" in said
    assert not (tmp_path / "ws").exists()


def test_prepare_refuses_arrays_that_are_damaged(datasets, tmp_path):
    assert datasets("prepare", "stacked_digits")[0] == 0
    [labels] = (tmp_path / "ws").rglob("test_labels.npy")
    labels.write_bytes(b"")
    code, said = datasets("prepare", "stacked_digits")
    assert code == 2
    assert str(labels) in said


# --- import --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", [False, True])
def test_import_takes_only_what_is_needed_and_touches_nothing_else(link, datasets, raw, tmp_path):
    before = files(tmp_path / "disk")
    code, said = datasets("import", "stacked_mnist", tmp_path / "disk", *(["--link"] if link else []))
    assert code == 0, said
    assert "4 files put into" in said
    assert files(tmp_path / "disk") == before
    put = tmp_path / "data" / "mnist"
    assert {path.name for path in put.iterdir()} == {name.name for name in files(raw)} - {"notes.txt"}
    assert all(path.samefile(raw / path.name) is link for path in put.iterdir())
    assert state(datasets)["state"] == "prepared"
    assert "were there already" in datasets("import", "stacked_mnist", raw)[1]


def test_import_takes_single_files(datasets, raw):
    code, said = datasets("import", "stacked_mnist", *sorted(raw.glob("*ubyte")))
    assert code == 0, said


@pytest.mark.parametrize("before", [False, True])
def test_import_of_damaged_files_leaves_nothing(before, datasets, raw, tmp_path):
    if before:  # also when arrays are there and preparing would look at nothing
        assert datasets("import", "stacked_mnist", raw)[0] == 0
        for path in (tmp_path / "data" / "mnist").iterdir():
            path.unlink()
    (raw / "t10k-labels-idx1-ubyte").write_bytes(b"damaged")
    code, said = datasets("import", "stacked_mnist", raw)
    assert code == 2
    assert "t10k-labels-idx1-ubyte: is not the official" in said
    assert (tmp_path / "data").exists() is before
    assert files(tmp_path / "data") == {} if before else True


def test_import_of_too_few_files_leaves_nothing_and_names_the_rest(datasets, raw, tmp_path):
    (raw / "t10k-labels-idx1-ubyte").unlink()
    code, said = datasets("import", "stacked_mnist", raw)
    assert code == 2
    assert "t10k-labels-idx1-ubyte" in said
    assert not (tmp_path / "data").exists()


def test_import_never_overwrites(datasets, raw, tmp_path):
    mine = tmp_path / "data" / "mnist" / "train-labels-idx1-ubyte"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    code, said = datasets("import", "stacked_mnist", raw)
    assert code == 2
    assert "is there already and differs" in said
    assert list(files(tmp_path / "data").values()) == [b"mine"]


@pytest.mark.parametrize(
    "name, path, expected",
    [
        ("stacked_mnist", "empty", "nothing that stacked_mnist needs was found"),
        ("imagenet32", "empty", "Imagenet32_train.zip\n    or Imagenet32_train_npz.zip\n    or train_data_batch_1 .. "),
        ("stacked_mnist", "absent", "no such file or folder"),
        ("stacked_digits", "empty", "there is nothing to import: it needs no files"),
    ],
)
def test_import_says_what_it_looked_for(name, path, expected, datasets, tmp_path):
    (tmp_path / "empty").mkdir()
    code, said = datasets("import", name, tmp_path / path)
    assert code == 2
    assert expected in said
    assert not (tmp_path / "data").exists()


def test_names_of_datasets_made_of_the_same_files_share_a_folder():
    homes = {name: sources.raw_dir(name) for name in ("stacked_mnist", "mnist", "stl10_32", "imagenet32_png", "new")}
    assert list(homes.values()) == ["mnist", "mnist", "stl10", "imagenet32_png", "new"]


# --- fetch ---------------------------------------------------------------------------------------------


@pytest.fixture
def offered(raw, monkeypatch):
    """MNIST's first file on a server, the others in place already."""
    name = "train-images-idx3-ubyte"
    content = (raw / name).read_bytes()
    with serving() as server:
        monkeypatch.setattr(Server, "content", content)
        one = Download(name, hashlib.md5(content).hexdigest(), (server.url,))
        monkeypatch.setitem(fetching.DOWNLOADS, "mnist", lambda: [one])
        yield server


def others_in_place(raw, tmp_path):
    target = tmp_path / "data" / "mnist"
    target.parent.mkdir()
    raw.rename(target)
    (target / "train-images-idx3-ubyte").unlink()
    return target


def test_fetch_downloads_what_lacks_and_prepares(datasets, raw, offered, tmp_path):
    others_in_place(raw, tmp_path)
    code, said = datasets("fetch", "stacked_mnist")
    assert code == 0, said
    assert state(datasets)["state"] == "prepared"
    assert "nothing to download" in datasets("fetch", "stacked_mnist")[1]
    assert len(offered.asked) == 1


def test_fetch_that_breaks_off_says_what_to_put_where_and_goes_on(datasets, raw, offered, tmp_path):
    target = others_in_place(raw, tmp_path)
    offered.cut = 1000
    code, said = datasets("fetch", "stacked_mnist")
    assert code == 2
    for expected in (offered.url, "1,000 of", "What came so far is kept", "--data-dir"):
        assert expected in said
    assert (target / "train-images-idx3-ubyte.part").stat().st_size == 1000
    offered.cut = None
    assert datasets("fetch", "stacked_mnist")[0] == 0
    assert offered.asked[1] == "bytes=1000-"


def test_fetch_of_what_wants_a_registration_says_what_to_put_where(datasets, tmp_path):
    code, said = datasets("fetch", "imagenet32")
    assert code == 2
    for expected in ("cannot be downloaded", "https://image-net.org", "Imagenet32_train.zip", str(tmp_path / "data")):
        assert expected in said
    assert len(said.splitlines()) < 24
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_fetching_says_how_to_go_on(datasets, offered, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setitem(fetching.DOWNLOADS, "mnist", interrupted)
    code, said = datasets("fetch", "stacked_mnist")
    assert code == 130
    assert "the same command goes on" in said


@pytest.mark.parametrize("name", fetching.DOWNLOADS)
def test_every_download_has_names_that_the_dataset_knows(name):
    known = {pattern for part in sources.required_files(name) for way in part for pattern in way}
    for wanted in fetching.DOWNLOADS[name]():
        assert wanted.name in known
        assert len(wanted.checksum) == 32
        assert all(url.startswith("http") and url.endswith(wanted.name) for url in wanted.urls)


# --- verify --------------------------------------------------------------------------------------------


@pytest.fixture
def here(datasets, raw, tmp_path):
    """Prepared, with raw files. The folder of the arrays."""
    assert datasets("import", "stacked_mnist", raw)[0] == 0
    return StackedMNIST.prepared_dir(tmp_path / "ws" / "data")


def test_verify_says_that_all_is_well_with_and_without_raw_files(datasets, here, tmp_path):
    code, said = datasets("verify", "stacked_mnist")
    assert code == 0
    assert f"ok: prepared arrays in {here}" in said
    assert f"ok: raw files under {tmp_path / 'data'}" in said
    for path in (tmp_path / "data" / "mnist").iterdir():
        path.unlink()
    code, said = datasets("verify", "stacked_mnist")
    assert code == 0
    assert "raw files are not here" in said


def test_verify_finds_one_changed_pixel_and_says_what_to_type(datasets, here):
    images = np.load(here / "train_images.npy", mmap_mode="r+")
    images[3, 0, 5, 5] ^= 1
    images.flush()
    code, said = datasets("verify", "stacked_mnist")
    assert code == 2
    assert str(here / "train_images.npy") in said
    assert "python -m benchmark datasets prepare stacked_mnist" in said
    assert "raw files under" in said, "they are still looked at"


def test_verify_finds_damaged_raw_files(datasets, here, tmp_path):
    path = tmp_path / "data" / "mnist" / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    code, said = datasets("verify", "stacked_mnist")
    assert code == 2
    assert str(path) in said
    assert "ok: prepared arrays" in said
    assert "datasets import stacked_mnist PATH" in said


def test_verify_finds_raw_files_that_changed_since(datasets, here):
    manifest = json.loads((here / "manifest.json").read_text())
    manifest["sources"]["train-labels-idx1-ubyte"] = "0" * 32
    (here / "manifest.json").write_text(json.dumps(manifest))
    code, said = datasets("verify", "stacked_mnist")
    assert code == 2
    assert "train-labels-idx1-ubyte differ from those that the arrays were prepared from" in said


def test_verify_tells_of_arrays_from_before_checksums(datasets, here):
    manifest = json.loads((here / "manifest.json").read_text())
    del manifest["checksums"]
    (here / "manifest.json").write_text(json.dumps(manifest))
    code, said = datasets("verify", "stacked_mnist")
    assert code == 0
    assert "prepared before checksums existed" in said


def test_verify_of_what_is_not_here(datasets):
    code, said = datasets("verify", "stacked_mnist")
    assert code == 2
    assert "nothing is here to be verified" in said


# --- run and plan --------------------------------------------------------------------------------------


@pytest.fixture
def benchmark(monkeypatch, capsys):
    """The command line, with every argument given."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["benchmark", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            app.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    return run


SUITE = "suites/stacked_mnist.yaml"


@pytest.mark.parametrize("command", ["plan", "run"])
def test_plan_and_run_say_what_to_type_when_data_is_missing(command, benchmark, tmp_path):
    places = f"--data-dir {tmp_path} --workspace {tmp_path / 'ws'}"
    code, said = benchmark(command, SUITE, *places.split())
    assert code == (2 if command == "run" else 0)
    assert f"python -m benchmark datasets fetch stacked_mnist {places}\n" in said
    code, said = benchmark(command, SUITE, "--only", "K/4, MSGAN's networks/GAN", *places.split())
    assert f"python -m benchmark datasets import stacked_mnist PATH {places}\n" in said
    assert "train-images-idx3-ubyte" in said, "of one thing that is missing all is said"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["plan", "run", "doctor"])
def test_raw_files_that_are_not_prepared_stop_a_run_with_the_command_to_type(command, benchmark, raw, tmp_path):
    data, workspace = raw.parent, tmp_path / "my ws"
    raw.rename(data / "mnist")
    before = files(tmp_path)
    code, said = benchmark(
        command, *([] if command == "doctor" else [SUITE]), "--data-dir", data, "--workspace", workspace
    )
    assert code == (2 if command == "run" else 0)
    told = "".join(said.split())
    assert (
        "".join(f"benchmark datasets prepare stacked_mnist --data-dir {data} --workspace '{workspace}'".split()) in told
    )
    assert files(tmp_path) == before
    assert not workspace.exists(), "nothing was started"


def test_the_command_that_is_told_makes_the_data_ready(benchmark, raw, tmp_path):
    raw.rename(tmp_path / "mnist")
    where = ["--data-dir", tmp_path, "--workspace", tmp_path / "my ws"]
    told = json.loads(benchmark("plan", SUITE, *where, "--json")[1])["missing_data"]["stacked_mnist"]
    typed = shlex.split(told.splitlines()[-1])
    assert typed[:3] == ["python", "-m", "benchmark"]
    assert benchmark(*typed[3:])[0] == 0
    assert "stacked_mnist" not in json.loads(benchmark("plan", SUITE, *where, "--json")[1])["missing_data"]


def test_damaged_arrays_stop_a_run_before_anything_is_started(benchmark, raw, tmp_path):
    raw.rename(tmp_path / "mnist")
    where = ["--data-dir", tmp_path, "--workspace", tmp_path / "ws"]
    assert benchmark("datasets", "prepare", "stacked_mnist", *where)[0] == 0
    array = StackedMNIST.prepared_dir(tmp_path / "ws" / "data") / "train_images.npy"
    array.write_bytes(array.read_bytes()[:-9])
    before = files(tmp_path)
    code, said = benchmark("run", SUITE, *where)
    assert code == 2
    assert str(array) in said
    assert "datasets prepare stacked_mnist --data-dir" in said
    assert files(tmp_path) == before


def test_places_are_named_unless_a_command_goes_there_by_itself(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for variable in ("SSGAN_DATA_DIR", "SSGAN_WORKSPACE"):
        monkeypatch.delenv(variable, raising=False)
    usual = Workspace.at(Path("workspace"))
    assert as_options(usual, tmp_path / "data") == ""
    assert as_options(usual, tmp_path / "d $x") == f" --data-dir '{tmp_path}/d $x'"
    monkeypatch.setenv("SSGAN_WORKSPACE", "elsewhere")
    assert as_options(usual, tmp_path / "data") == f" --workspace {tmp_path}/workspace"
    assert as_options(Workspace.at(Path("elsewhere")), tmp_path / "data") == ""
