"""A storage: a folder here, and a real server of the S3 protocol where one is installed."""

import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode

import pytest
import torch
from pyarrow import fs

from benchmark.config.suite import load_suite
from benchmark.core.errors import UserError
from benchmark.evaluation.references import EvaluationAssets
from benchmark.execution import worker_files
from benchmark.execution.remote_storage import RemoteFiles, RemoteSync
from benchmark.store.record_store import RecordStore
from benchmark.store.records import TrialRecord
from benchmark.store.workspace import Workspace
from benchmark.training.checkpoint import Checkpoints
from tests.support.trials import job_in

CPU = torch.device("cpu")


@pytest.fixture
def job(tmp_path, small_suite):
    """A job whose data and instruments are files of the driver's machine."""
    root = tmp_path / "driver"
    for name, content in {"data/train.npy": b"images", "data/manifest.json": b"{}", "digits.pt": b"weights"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    spec = next(iter(load_suite(small_suite()).specs.values()))
    assets = EvaluationAssets(extractors={"digits": root / "digits.pt"}, references={})
    return job_in(root, spec, assets=assets)


@pytest.fixture
def depot(tmp_path):
    return RemoteSync(RemoteFiles.at(str(tmp_path / "store")), Workspace.at(tmp_path / "ws"))


@pytest.fixture
def node(tmp_path, monkeypatch):
    """Makes this process a worker on a machine with a disk of its own."""

    def become(name: str) -> Path:
        monkeypatch.setenv(worker_files.CACHE_VARIABLE, str(tmp_path / name))
        return tmp_path / name

    become("node a")
    return become


def test_files_come_and_go(tmp_path):
    storage = RemoteFiles.at(str(tmp_path / "store"))
    (tmp_path / "here").write_bytes(b"x" * 100)
    storage.write("some/where/a", tmp_path / "here")
    storage.write("some/where/b", b"y")
    assert storage.names("some") == {"some/where/a": 100, "some/where/b": 1}
    assert storage.read("some/where/b") == b"y"
    storage.fetch("some/where/a", tmp_path / "back" / "a")
    assert (tmp_path / "back" / "a").read_bytes() == b"x" * 100
    storage.forget("some/where/a")
    storage.forget("some/where/a")
    assert storage.names("some") == {"some/where/b": 1}
    assert storage.names("nowhere") == {}


@pytest.mark.parametrize("uri", ["gopher://somewhere", "s3://", "/proc/nowhere"])
def test_a_place_that_cannot_be_written_to_is_refused(uri):
    with pytest.raises(UserError, match="--storage"):
        RemoteFiles.at(uri)


def test_what_is_missing_is_fetched_once_and_checked(job, depot, node, tmp_path):
    told = depot.ship([job]).told(job)
    with worker_files.localise_job(job, told) as (here, _):
        assert here.data == job.data  # the driver's machine has it
    shutil.rmtree(tmp_path / "driver")
    with worker_files.localise_job(job, told) as (here, _):
        assert (here.data / "train.npy").read_bytes() == b"images"
        assert here.assets.extractors["digits"].read_bytes() == b"weights"
        assert here.data.is_relative_to(tmp_path / "node a")
    for path in (tmp_path / "store" / "files").iterdir():
        path.write_bytes(b"other")
    with worker_files.localise_job(job, told):
        pass  # nothing is fetched again
    node("node b")
    with pytest.raises(OSError, match="damaged"), worker_files.localise_job(job, told):
        pass


def test_a_trial_that_moves_finds_its_checkpoint(job, depot, node, tmp_path):
    told, trial_id = depot.ship([job]).told(job), job.spec.trial_id
    with pytest.raises(KeyError), worker_files.localise_job(job, told) as (here, now_and_then):  # noqa: PT012
        for step in (1, 2, 3):
            Checkpoints(here.checkpoints, trial_id).save({"step": step})
            now_and_then()
        raise KeyError  # whatever ends it
    node("node b")
    with worker_files.localise_job(job, told) as (here, _):
        assert Checkpoints(here.checkpoints, trial_id).load(CPU) == {"step": 3}
        Checkpoints(here.checkpoints, trial_id).save({"step": 4})
    assert len(depot.storage.names("checkpoints")) == 2  # no more than there are on a disk
    node("node a")
    with worker_files.localise_job(job, told) as (here, _):
        assert Checkpoints(here.checkpoints, trial_id).load(CPU) == {"step": 4}


def test_checkpoints_are_copied_while_the_trial_runs(job, depot, node):
    told = depot.ship([job]).told(job)
    with worker_files.localise_job(job, told) as (here, now_and_then):
        Checkpoints(here.checkpoints, job.spec.trial_id).save({"step": 1})
        now_and_then()
        for _ in range(100):
            if depot.storage.names("checkpoints"):
                break
            time.sleep(0.05)
        assert depot.storage.names("checkpoints")


def record_of(job) -> TrialRecord:
    return TrialRecord(trial_id=job.spec.trial_id, spec=job.spec, status="finished", started="now", finished="now")


def test_records_are_brought_and_taken_over(job, depot, tmp_path):
    record, ids = record_of(job), [job.spec.trial_id]
    RecordStore(depot.workspace.results).write(record)
    depot.storage.write(f"checkpoints/{record.trial_id}/00000001.ckpt", b"state")
    depot.storage.write(f"samples/{record.trial_id}/step-00000003.png", b"sheet")
    depot.push(ids)
    assert depot.storage.names("checkpoints") == {}
    assert (depot.workspace.samples / record.trial_id / "step-00000003.png").read_bytes() == b"sheet"
    RecordStore(depot.workspace.results).write(record.model_copy(update={"attempts": ["no luck"]}))
    depot.push(ids)
    record = RecordStore(depot.workspace.results).read(record.trial_id)
    other = RemoteSync(depot.storage, Workspace.at(tmp_path / "other"))
    assert (other.pull(ids), other.pull(ids)) == (1, 0)
    assert RecordStore(other.workspace.results).read(record.trial_id) == record
    assert [path.name for path in other.workspace.root.iterdir()] == ["results"]


@pytest.fixture
def bucket(monkeypatch):
    """The URI of a folder in a bucket of a server of the S3 protocol on this machine."""
    pytest.importorskip("moto.server")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    port = 20000 + os.getpid() % 10000
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stderr=subprocess.DEVNULL)
    place = {"endpoint_override": f"127.0.0.1:{port}", "scheme": "http", "region": "us-east-1"}
    try:
        for _ in range(100):
            with suppress(OSError):
                fs.S3FileSystem(**place, allow_bucket_creation=True).create_dir("bucket")
                break
            time.sleep(0.3)
        yield f"s3://bucket/benchmark?{urlencode(place)}"
    finally:
        server.kill()
        server.wait()


@pytest.mark.long
def test_a_server_of_the_s3_protocol(bucket, job, node, tmp_path):
    depot = RemoteSync(RemoteFiles.at(bucket), Workspace.at(tmp_path / "ws"))
    RecordStore(depot.workspace.results).write(record_of(job))
    depot.push([job.spec.trial_id])
    assert depot.storage.names("results")
    other = RemoteSync(RemoteFiles.at(bucket), Workspace.at(tmp_path / "other"))
    assert other.pull([job.spec.trial_id]) == 1
    told = depot.ship([job]).told(job)
    shutil.rmtree(tmp_path / "driver")
    with worker_files.localise_job(job, told) as (here, _):
        for step in (1, 2, 3):
            Checkpoints(here.checkpoints, job.spec.trial_id).save({"step": step})
    node("node b")
    with worker_files.localise_job(job.model_copy(update={"cpus": 2}), told) as (here, _):
        assert Checkpoints(here.checkpoints, job.spec.trial_id).load(CPU) == {"step": 3}
        assert (here.data / "train.npy").read_bytes() == b"images"


@pytest.mark.long
def test_a_bucket_that_is_none_is_told(bucket):
    with pytest.raises(UserError, match=r"--storage .*bucket does not exist"):
        RemoteFiles.at(bucket.replace("s3://bucket/", "s3://nobodys/"))
