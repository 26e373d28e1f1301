"""`datasets` and its commands: fetch, import, prepare, verify."""

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli import app
from benchmark.core.errors import UserError
from benchmark.data import acquire
from benchmark.data.datasets.stacked_mnist import StackedMNIST
from benchmark.data.raw.checksums import md5_of
from benchmark.data.raw.download import Download
from benchmark.data.raw.examples import random_image, write_files
from benchmark.evaluation.extractors.weights import INCEPTION
from benchmark.store.workspace import Workspace, as_options
from tests.conftest import SMALL
from tests.support.examples import small_mnist
from tests.unit.data.raw.test_download import Server, serving


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """A folder outside the data directory with MNIST's files and another one."""
    folder = tmp_path / "disk" / "old" / "mnist stuff"
    folder.mkdir(parents=True)
    small_mnist(folder, monkeypatch)
    (folder / "notes.txt").write_text("mine")
    return folder


@pytest.fixture
def datasets(monkeypatch, capsys, tmp_path):
    """Runs `datasets` with a workspace and a data directory of its own: exit code and output."""

    def run(*arguments, with_folders=True):
        folders = ["--workspace", str(tmp_path / "ws"), "--data-dir", str(tmp_path / "data")] if with_folders else []
        monkeypatch.setattr(sys, "argv", ["benchmark", "datasets", *map(str, arguments), *folders])
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


def test_the_list_shows_each_state(datasets, raw, tmp_path):
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
    code, output = datasets()
    assert code == 0
    assert "corrupt" in output
    assert "CC BY-SA 3.0" in output


def test_an_option_before_the_command_is_refused(datasets):
    code, output = datasets("--data-dir", "x", "prepare", "stacked_mnist", with_folders=False)
    assert code == 2
    assert "--data-dir: write it after `prepare`" in output


@pytest.mark.parametrize("command", [("prepare",), ("fetch",), ("import", "."), ("verify",)])
def test_an_unknown_dataset_is_refused_with_the_nearest_name(command, datasets, tmp_path):
    code, output = datasets(command[0], "stacked_mnits", *command[1:])
    assert code == 2
    assert "did you mean 'stacked_mnist'?" in output
    assert list(tmp_path.iterdir()) == []


# --- prepare -------------------------------------------------------------------------------------------


def test_prepare_without_files_says_what_is_missing(datasets, tmp_path):
    code, output = datasets("prepare", "stacked_mnist")
    assert code == 2
    assert "train-images-idx3-ubyte" in output
    assert not (tmp_path / "ws").exists()


def test_prepare_refuses_arrays_that_are_damaged(datasets, tmp_path):
    assert datasets("prepare", "stacked_digits")[0] == 0
    [labels] = (tmp_path / "ws").rglob("test_labels.npy")
    labels.write_bytes(b"")
    code, output = datasets("prepare", "stacked_digits")
    assert code == 2
    assert str(labels) in output


def own_images(folder, n, seed=0):
    """A folder of small random photographs of two classes, where `folder_32` looks for them."""
    rng = np.random.default_rng(seed)
    names = [f"{'cats' if k % 2 else 'dogs'}/{k}.png" for k in range(n)]
    write_files(folder / "folder", {name: random_image(rng, 40, 40, "PNG") for name in names})


def test_prepare_says_how_a_folder_was_understood_and_what_was_left_out(datasets, tmp_path):
    own_images(tmp_path / "data", 20)
    (tmp_path / "data/folder/cats/x.avif").write_bytes(b"")
    (tmp_path / "data/folder/cats/link.png").symlink_to(tmp_path / "data/folder/cats/1.png")
    for already in ("", "already "):
        code, output = datasets("prepare", "folder_32")
        assert code == 0, output
        assert (
            "folder_32: layout: 18 images for training, 2 held out (every tenth); 2 classes (cats, dogs)\n"
            "folder_32: left out: files that end in .avif: 1 (for example cats/x.avif);"
            " links, which are not followed: 1 (for example cats/link.png)\n"
            f"folder_32: {already}prepared in {tmp_path}"
        ) in output


def test_prepare_from_other_images_prepares_them(datasets, tmp_path):
    own_images(tmp_path / "data", 20)
    assert datasets("prepare", "folder_32")[0] == 0
    own_images(tmp_path / "other", 30, seed=1)
    where = ["--workspace", tmp_path / "ws", "--data-dir", tmp_path / "other"]
    code, output = datasets("verify", "folder_32", *where, with_folders=False)
    assert code == 2
    assert "folder train (27 files)" in output
    assert "10 added (for example cats/21.png" in output
    code, output = datasets("prepare", "folder_32", *where, with_folders=False)
    assert code == 0
    assert "27 images for training" in output
    assert datasets("verify", "folder_32", *where, with_folders=False)[0] == 0
    assert state(datasets, "folder_32")["state"] == "outdated", "the data directory of the fixture has the old ones"


def test_prepare_from_a_folder_without_images_does_not_keep_those_of_another(datasets, tmp_path):
    """A mistyped data directory must not pass for the one that is prepared."""
    own_images(tmp_path / "data", 20)
    assert datasets("prepare", "folder_32")[0] == 0
    (tmp_path / "mistyped").mkdir()
    where = ["--workspace", tmp_path / "ws", "--data-dir", tmp_path / "mistyped"]
    code, output = datasets("prepare", "folder_32", *where, with_folders=False)
    assert code == 2
    assert "holds images of another place and stays as it is" in output
    assert state(datasets, "folder_32")["state"] == "prepared"


# --- import --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", [False, True])
def test_import_copies_only_the_required_files(link, datasets, raw, tmp_path):
    before = files(tmp_path / "disk")
    code, output = datasets("import", "stacked_mnist", tmp_path / "disk", *(["--link"] if link else []))
    assert code == 0, output
    assert "4 files put into" in output
    assert files(tmp_path / "disk") == before
    put = tmp_path / "data" / "mnist"
    assert {path.name for path in put.iterdir()} == {name.name for name in files(raw)} - {"notes.txt"}
    assert all(path.samefile(raw / path.name) is link for path in put.iterdir())
    assert state(datasets)["state"] == "prepared"
    assert "were already there" in datasets("import", "stacked_mnist", raw)[1]


def test_import_accepts_single_files(datasets, raw):
    code, output = datasets("import", "stacked_mnist", *sorted(raw.glob("*ubyte")))
    assert code == 0, output


@pytest.mark.parametrize("before", [False, True])
def test_import_of_damaged_files_leaves_nothing(before, datasets, raw, tmp_path):
    if before:  # preparing would then not read the raw files
        assert datasets("import", "stacked_mnist", raw)[0] == 0
        for path in (tmp_path / "data" / "mnist").iterdir():
            path.unlink()
    (raw / "t10k-labels-idx1-ubyte").write_bytes(b"damaged")
    code, output = datasets("import", "stacked_mnist", raw)
    assert code == 2
    assert "t10k-labels-idx1-ubyte: is not the official" in output
    assert (tmp_path / "data").exists() is before
    assert files(tmp_path / "data") == {} if before else True


def test_import_of_too_few_files_leaves_nothing_and_names_the_rest(datasets, raw, tmp_path):
    (raw / "t10k-labels-idx1-ubyte").unlink()
    code, output = datasets("import", "stacked_mnist", raw)
    assert code == 2
    assert "t10k-labels-idx1-ubyte" in output
    assert not (tmp_path / "data").exists()


def test_import_never_overwrites(datasets, raw, tmp_path):
    mine = tmp_path / "data" / "mnist" / "train-labels-idx1-ubyte"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    code, output = datasets("import", "stacked_mnist", raw)
    assert code == 2
    assert "exists and differs" in output
    assert list(files(tmp_path / "data").values()) == [b"mine"]


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("stacked_mnist", "empty", "nothing that stacked_mnist needs was found"),
        ("imagenet32", "empty", "Imagenet32_train.zip\n    or Imagenet32_train_npz.zip\n    or train_data_batch_1 .. "),
        ("stacked_mnist", "absent", "no such file or folder"),
        ("stacked_digits", "empty", "there is nothing to import: it needs no files"),
    ],
)
def test_import_says_what_it_searched_for(name, path, expected, datasets, tmp_path):
    (tmp_path / "empty").mkdir()
    code, output = datasets("import", name, tmp_path / path)
    assert code == 2
    assert expected in output
    assert not (tmp_path / "data").exists()


# --- fetch ---------------------------------------------------------------------------------------------


@pytest.fixture
def offered(raw, monkeypatch):
    """A server with MNIST's first file, the only one to download."""
    name = "train-images-idx3-ubyte"
    content = (raw / name).read_bytes()
    with serving() as server:
        monkeypatch.setattr(Server, "content", content)
        file = Download(name, md5_of(content), (server.url,))
        monkeypatch.setattr(StackedMNIST, "downloads", (file,))
        yield server


def import_other_files(raw, tmp_path):
    target = tmp_path / "data" / "mnist"
    target.parent.mkdir()
    raw.rename(target)
    (target / "train-images-idx3-ubyte").unlink()
    return target


def test_fetch_downloads_the_missing_file_and_prepares(datasets, raw, offered, tmp_path):
    import_other_files(raw, tmp_path)
    code, output = datasets("fetch", "stacked_mnist")
    assert code == 0, output
    assert state(datasets)["state"] == "prepared"
    assert "nothing to download" in datasets("fetch", "stacked_mnist")[1]
    assert len(offered.requested_ranges) == 1


def test_an_interrupted_fetch_gives_instructions_and_resumes(datasets, raw, offered, tmp_path):
    target = import_other_files(raw, tmp_path)
    offered.cut = 1000
    code, output = datasets("fetch", "stacked_mnist")
    assert code == 2
    for expected in (offered.url, "1,000 of", "The part that arrived is kept", "--data-dir"):
        assert expected in output
    assert (target / "train-images-idx3-ubyte.part").stat().st_size == 1000
    offered.cut = None
    assert datasets("fetch", "stacked_mnist")[0] == 0
    assert offered.requested_ranges[1] == "bytes=1000-"


def test_fetch_of_a_dataset_that_needs_a_registration_gives_instructions(datasets, tmp_path):
    code, output = datasets("fetch", "imagenet32")
    assert code == 2
    for expected in ("cannot be downloaded", "https://image-net.org", "Imagenet32_train.zip", str(tmp_path / "data")):
        assert expected in output
    assert len(output.splitlines()) < 24
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_fetching_says_how_to_resume(datasets, offered, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(acquire, "download", interrupted)
    code, output = datasets("fetch", "stacked_mnist")
    assert code == 130
    assert "the same command resumes" in output


# --- verify --------------------------------------------------------------------------------------------


@pytest.fixture
def here(datasets, raw, tmp_path):
    """The folder of prepared arrays; the raw files are there, too."""
    assert datasets("import", "stacked_mnist", raw)[0] == 0
    return StackedMNIST.prepared_dir(tmp_path / "ws" / "data")


def test_verify_reports_intact_data_with_and_without_raw_files(datasets, here, tmp_path):
    code, output = datasets("verify", "stacked_mnist")
    assert code == 0
    assert f"ok: prepared arrays in {here}" in output
    assert f"ok: raw files under {tmp_path / 'data'}" in output
    for path in (tmp_path / "data" / "mnist").iterdir():
        path.unlink()
    code, output = datasets("verify", "stacked_mnist")
    assert code == 0
    assert "raw files are not present" in output


def test_verify_finds_one_changed_pixel_and_prints_the_command(datasets, here):
    images = np.load(here / "train_images.npy", mmap_mode="r+")
    images[3, 0, 5, 5] ^= 1
    images.flush()
    code, output = datasets("verify", "stacked_mnist")
    assert code == 2
    assert str(here / "train_images.npy") in output
    assert "python -m benchmark datasets prepare stacked_mnist" in output
    assert "raw files under" in output, "they are still read"


def test_verify_finds_damaged_raw_files(datasets, here, tmp_path):
    path = tmp_path / "data" / "mnist" / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    code, output = datasets("verify", "stacked_mnist")
    assert code == 2
    assert str(path) in output
    assert "ok: prepared arrays" in output
    assert "datasets import stacked_mnist PATH" in output


def test_verify_finds_raw_files_that_changed_after_preparing(datasets, here):
    manifest = json.loads((here / "manifest.json").read_text())
    manifest["sources"]["train-labels-idx1-ubyte"] = "0" * 32
    (here / "manifest.json").write_text(json.dumps(manifest))
    code, output = datasets("verify", "stacked_mnist")
    assert code == 2
    assert "train-labels-idx1-ubyte differ from those that the arrays were prepared from" in output


def test_verify_reports_arrays_without_checksums(datasets, here):
    manifest = json.loads((here / "manifest.json").read_text())
    del manifest["checksums"]
    (here / "manifest.json").write_text(json.dumps(manifest))
    code, output = datasets("verify", "stacked_mnist")
    assert code == 0
    assert "prepared before checksums existed" in output


def test_verify_without_any_data_is_refused(datasets):
    code, output = datasets("verify", "stacked_mnist")
    assert code == 2
    assert "there is nothing to verify" in output


# --- run and plan --------------------------------------------------------------------------------------


@pytest.fixture
def benchmark(monkeypatch, capsys):
    """Runs the command line with all arguments given: exit code and output."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["benchmark", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            app.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    return run


SUITE = "suites/stacked_mnist.yaml"


@pytest.mark.parametrize("command", ["plan", "run"])
def test_plan_and_run_print_the_command_for_missing_data(command, benchmark, tmp_path):
    places = f"--data-dir {tmp_path} --workspace {tmp_path / 'ws'}"
    code, output = benchmark(command, SUITE, *places.split())
    assert code == (2 if command == "run" else 0)
    assert f"python -m benchmark datasets fetch --for {SUITE} {places}\n" in output
    code, output = benchmark(command, SUITE, "--only", "K/4, MSGAN's networks/GAN", *places.split())
    assert f"python -m benchmark datasets import stacked_mnist PATH {places}\n" in output
    assert "train-images-idx3-ubyte" in output, "a single missing dataset is explained in full"
    assert list(tmp_path.iterdir()) == []


def suite_of(small_suite, *names, metric="modes"):
    """A suite with a table for each dataset."""
    options = {"modes": {}, "fid": {"extractor": "inception"}}[metric]
    protocol = {"measures": {metric: {"n_fake": 50, "options": options}}, "evaluations": 1}
    networks = {"stacked_mnist": "msgan_stacked_mnist", "stacked_digits": "mlp"}
    tables = [
        {
            "title": name,
            "defaults": {
                "dataset": name,
                "network": networks.get(name, "dcgan"),
                "network_options": {"k": 4} if name == "stacked_mnist" else {},
                "protocol": protocol,
            },
            "rows": {"GAN": {"method": "gan"}},
        }
        for name in names
    ]
    shared = ("latent", "steps", "batch_size", "optimizer")
    return small_suite(tables=tables, defaults={key: SMALL["defaults"][key] for key in shared})


def test_fetch_for_a_suite_gets_what_can_be_had_and_ends_with_the_rest(datasets, small_suite, raw, offered, tmp_path):
    import_other_files(raw, tmp_path)
    own_images(tmp_path / "data", 20)
    suite = suite_of(small_suite, "stacked_mnist", "stacked_digits")
    code, output = datasets("prepare", "--for", suite)
    assert code == 2
    assert f"To download: stacked_mnist\n  python -m benchmark datasets fetch --for {suite} --data-dir" in output
    assert offered.requested_ranges == []
    code, output = datasets("fetch", "--for", suite)
    assert code == 0, output
    assert f"{suite}: all datasets and weights are ready\n" in output
    assert "stacked_mnist: prepared in" in output
    assert "stacked_digits" not in output, "it needs no files"
    code, output = datasets("fetch", "--for", suite)
    assert (code, "stacked_mnist: ready" in output) == (0, True)
    assert len(offered.requested_ranges) == 1


def test_fetch_for_a_suite_goes_on_after_a_failure_and_names_what_to_bring_by_hand(
    datasets, small_suite, monkeypatch, tmp_path
):
    own_images(tmp_path / "data", 20)
    monkeypatch.setattr(INCEPTION.__class__, "find", lambda *_: None)
    suite = suite_of(small_suite, "cifar10", "imagenet32", "folder_32", metric="fid")

    def refused(self, *_):
        raise UserError(f"{self.name}: cannot be downloaded")

    monkeypatch.setattr(INCEPTION.__class__, "fetch", refused)
    monkeypatch.setattr(acquire, "download", lambda file, *_: refused(file))
    code, output = datasets("fetch", "--for", suite)
    assert code == 2
    assert "folder_32: layout: 18 images for training" in output
    assert "folder_32: prepared in" in output
    for expected in (
        "inception: cannot be downloaded",
        "cifar-10-python.tar.gz: cannot be downloaded",
        "To bring by hand: imagenet32",
        "https://image-net.org/download-images",
    ):
        assert expected in output
    assert output.index("To bring by hand") > output.index("cannot be downloaded")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "give either the NAME of a dataset, or --for SUITE"),
        (("mnist", "--for", "suites/quickstart.yaml"), "give either the NAME"),
        (("mnist", "--only", "GAN"), "--only: selects cells of a suite; name the suite with --for"),
        (("--for", "suites/quickstart.yaml", "--only", "nothing"), "no such cell"),
    ],
)
def test_fetch_and_prepare_take_either_a_name_or_a_suite(arguments, problem, datasets, tmp_path):
    for command in ("fetch", "prepare"):
        code, output = datasets(command, *arguments)
        assert code == 2
        assert problem in output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["plan", "run", "doctor"])
def test_several_missing_inputs_are_one_command_and_what_must_be_brought(command, benchmark, tmp_path):
    suite = "suites/neurips2019.yaml"
    places = f"--data-dir {tmp_path} --workspace {tmp_path / 'ws'}"
    code, output = benchmark(command, *([] if command == "doctor" else [suite]), *places.split())
    output = "".join(output.split())
    assert code == (2 if command == "run" else 0)
    assert "".join(f"python -m benchmark datasets fetch --for {suite} {places}".split()) in output
    assert "".join(f"python -m benchmark datasets import celeba PATH {places}".split()) in output
    assert "datasetsfetchstl10" not in output


def test_the_command_names_the_cells_that_were_selected(benchmark, tmp_path):
    where = ["--data-dir", tmp_path, "--workspace", tmp_path / "ws"]
    output = benchmark("plan", "suites/mimicry2020.yaml", "--only", "SSGAN", *where)[1]
    assert "datasets fetch --for suites/mimicry2020.yaml --only SSGAN --data-dir" in output


@pytest.mark.parametrize("command", ["plan", "run", "doctor"])
def test_unprepared_raw_files_stop_a_run_with_the_command(command, benchmark, raw, tmp_path):
    data, workspace = raw.parent, tmp_path / "my ws"
    raw.rename(data / "mnist")
    before = files(tmp_path)
    code, output = benchmark(
        command, *([] if command == "doctor" else [SUITE]), "--data-dir", data, "--workspace", workspace
    )
    assert code == (2 if command == "run" else 0)
    command = f"benchmark datasets prepare --for {SUITE} --data-dir {data} --workspace '{workspace}'"
    assert "".join(command.split()) in "".join(output.split())
    assert files(tmp_path) == before
    assert not workspace.exists(), "nothing was started"


def test_the_printed_command_prepares_the_data(benchmark, raw, tmp_path):
    raw.rename(tmp_path / "mnist")
    where = ["--data-dir", tmp_path, "--workspace", tmp_path / "my ws"]
    message = json.loads(benchmark("plan", SUITE, *where, "--json")[1])["missing_data"]["stacked_mnist"]
    command = shlex.split(message.splitlines()[-1])
    assert command[:3] == ["python", "-m", "benchmark"]
    assert benchmark(*command[3:])[0] == 0
    assert "stacked_mnist" not in json.loads(benchmark("plan", SUITE, *where, "--json")[1])["missing_data"]


@pytest.mark.parametrize("command", ["plan", "run"])
def test_images_that_changed_after_preparing_stop_a_run(command, benchmark, tmp_path):
    own_images(tmp_path, 40)
    where = ["--data-dir", tmp_path, "--workspace", tmp_path / "ws"]
    assert benchmark("datasets", "prepare", "folder_32", *where)[0] == 0
    (tmp_path / "folder/cats/new.png").write_bytes((tmp_path / "folder/cats/1.png").read_bytes())
    (tmp_path / "folder/dogs/2.png").unlink()
    before = files(tmp_path)
    code, output = benchmark(command, "suites/own_images.yaml", *where)
    assert code == (2 if command == "run" else 0)
    assert f"the images in {tmp_path / 'folder'} are not those that were prepared: 1 added (for example" in output
    assert "cats/new.png), 1 removed (for example dogs/2.png)" in output
    assert f"python -m benchmark datasets prepare folder_32 --data-dir {tmp_path}" in output
    assert files(tmp_path) == before


@pytest.mark.parametrize("n", [10, 19])
def test_too_few_held_out_images_for_a_metric_stop_a_run_before_it_starts(n, benchmark, tmp_path):
    own_images(tmp_path, n)
    where = ["--data-dir", tmp_path, "--workspace", tmp_path / "ws"]
    assert benchmark("datasets", "prepare", "folder_32", *where)[0] == 0
    before = files(tmp_path)
    for command in ("plan", "run"):
        code, output = benchmark(command, "suites/own_images.yaml", *where)
        assert code == (2 if command == "run" else 0)
        assert "suites/own_images.yaml:" in output
        assert (
            "defaults.protocol.measures.fid: 'fid' fits a covariance to the images of each kind: it needs at least 2"
            " real images, and the test split of folder_32 has 1 image; add images, or compare with the other split"
        ) in output
    assert files(tmp_path) == before


def test_every_measure_of_every_cell_is_checked_before_a_run(benchmark, small_suite, tmp_path):
    measures = {
        "fid": {"n_fake": 50, "options": {"extractor": "random_conv", "reference": "test"}},
        "prc": {"n_fake": 50, "options": {"extractor": "random_conv", "reference": "test", "neighbourhood": 2}},
        "kid": {"n_fake": 50, "options": {"extractor": "random_conv", "subset_size": 50}},
        "linear_probe": {"options": {"n_train": 40}},
    }
    own_images(tmp_path, 30)
    where = ["--data-dir", tmp_path, "--workspace", tmp_path / "ws"]
    assert benchmark("datasets", "prepare", "folder_32", *where)[0] == 0
    cell = {"dataset": "folder_32", "network": "dcgan", "network_options": {}}
    tables = [
        {
            "title": label,
            "defaults": {**cell, "protocol": {"measures": {label: measure}, "evaluations": 1}},
            "rows": {"GAN": {"method": "gan"}},
        }
        for label, measure in measures.items()
    ]
    defaults = {
        "latent": {"dim": 4, "distribution": "normal"},
        "steps": 6,
        "batch_size": 8,
        "optimizer": {"lr": 1e-3, "betas": [0.0, 0.9]},
    }
    suite = small_suite(tables=tables, defaults=defaults)
    code, output = benchmark("run", suite, *where, "--runner", "inprocess")
    assert code == 2
    for expected in (
        "measures.kid: 'kid' draws subsets of subset_size=50: it needs at least 50 real images, and the train split",
        "measures.linear_probe: n_train asks for 40 labelled training images, and of the 27",
    ):
        assert expected in output, output
    assert "measures.fid" not in output, "3 held-out images are enough"
    assert "measures.prc" not in output
    assert not (tmp_path / "ws/results").exists()
    assert not (tmp_path / "ws/instruments").exists(), "no features were extracted"


def test_damaged_arrays_stop_a_run_before_it_starts(benchmark, raw, tmp_path):
    raw.rename(tmp_path / "mnist")
    where = ["--data-dir", tmp_path, "--workspace", tmp_path / "ws"]
    assert benchmark("datasets", "prepare", "stacked_mnist", *where)[0] == 0
    array = StackedMNIST.prepared_dir(tmp_path / "ws" / "data") / "train_images.npy"
    array.write_bytes(array.read_bytes()[:-9])
    before = files(tmp_path)
    code, output = benchmark("run", SUITE, *where)
    assert code == 2
    assert str(array) in output
    assert "datasets prepare stacked_mnist --data-dir" in output
    assert files(tmp_path) == before


def test_folders_are_options_unless_they_are_the_defaults(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for variable in ("SSGAN_DATA_DIR", "SSGAN_WORKSPACE"):
        monkeypatch.delenv(variable, raising=False)
    usual = Workspace.at(Path("workspace"))
    assert as_options(usual, tmp_path / "data") == ""
    assert as_options(usual, tmp_path / "d $x") == f" --data-dir '{tmp_path}/d $x'"
    monkeypatch.setenv("SSGAN_WORKSPACE", "elsewhere")
    assert as_options(usual, tmp_path / "data") == f" --workspace {tmp_path}/workspace"
    assert as_options(Workspace.at(Path("elsewhere")), tmp_path / "data") == ""
