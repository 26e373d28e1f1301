"""Remote storage: a local folder, and an S3 server if moto is installed."""

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
    """A job whose inputs are files of the driver's machine."""
    root = tmp_path / "driver"
    for name, content in {"data/train.npy": b"images", "data/manifest.json": b"{}", "digits.pt": b"weights"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    spec = next(iter(load_suite(small_suite()).specs.values()))
    assets = EvaluationAssets(extractors={"digits": root / "digits.pt"}, references={})
    return job_in(root, spec, assets=assets)


@pytest.fixture
def remote(tmp_path):
    return RemoteSync(RemoteFiles.at(str(tmp_path / "store")), Workspace.at(tmp_path / "ws"))


@pytest.fixture
def node(tmp_path, monkeypatch):
    """Makes this process a worker on a machine with its own disk."""

    def become(name: str) -> Path:
        monkeypatch.setenv(worker_files.CACHE_VARIABLE, str(tmp_path / name))
        return tmp_path / name

    become("node a")
    return become


def test_files_are_written_listed_fetched_and_deleted(tmp_path):
    storage = RemoteFiles.at(str(tmp_path / "store"))
    (tmp_path / "here").write_bytes(b"x" * 100)
    storage.write("some/where/a", tmp_path / "here")
    storage.write("some/where/b", b"y")
    assert storage.sizes("some") == {"some/where/a": 100, "some/where/b": 1}
    assert storage.read("some/where/b") == b"y"
    storage.fetch("some/where/a", tmp_path / "back" / "a")
    assert (tmp_path / "back" / "a").read_bytes() == b"x" * 100
    storage.delete("some/where/a")
    storage.delete("some/where/a")
    assert storage.sizes("some") == {"some/where/b": 1}
    assert storage.sizes("nowhere") == {}


@pytest.mark.parametrize("uri", ["gopher://somewhere", "s3://", "/proc/nowhere"])
def test_an_unwritable_storage_is_refused(uri):
    with pytest.raises(UserError, match="--storage"):
        RemoteFiles.at(uri)


def test_missing_inputs_are_fetched_once_and_their_checksums_verified(job, remote, node, tmp_path):
    inputs = remote.upload_inputs([job]).for_job(job)
    with worker_files.localise_job(job, inputs) as (local_job, _):
        assert local_job.data == job.data  # the driver's machine has it
    shutil.rmtree(tmp_path / "driver")
    with worker_files.localise_job(job, inputs) as (local_job, _):
        assert (local_job.data / "train.npy").read_bytes() == b"images"
        assert local_job.assets.extractors["digits"].read_bytes() == b"weights"
        assert local_job.data.is_relative_to(tmp_path / "node a")
    for path in (tmp_path / "store" / "files").iterdir():
        path.write_bytes(b"other")
    with worker_files.localise_job(job, inputs):
        pass  # nothing is fetched again
    node("node b")
    with pytest.raises(OSError, match="damaged"), worker_files.localise_job(job, inputs):
        pass


def test_a_trial_that_moves_finds_its_checkpoint(job, remote, node, tmp_path):
    inputs, trial_id = remote.upload_inputs([job]).for_job(job), job.spec.trial_id
    with pytest.raises(KeyError), worker_files.localise_job(job, inputs) as (local_job, upload):  # noqa: PT012
        for step in (1, 2, 3):
            Checkpoints(local_job.checkpoints, trial_id).save({"step": step})
            upload()
        raise KeyError  # whatever ends it
    node("node b")
    with worker_files.localise_job(job, inputs) as (local_job, _):
        assert Checkpoints(local_job.checkpoints, trial_id).load(CPU) == {"step": 3}
        Checkpoints(local_job.checkpoints, trial_id).save({"step": 4})
    assert len(remote.storage.sizes("checkpoints")) == 2  # no more than there are on a disk
    node("node a")
    with worker_files.localise_job(job, inputs) as (local_job, _):
        assert Checkpoints(local_job.checkpoints, trial_id).load(CPU) == {"step": 4}


def test_checkpoints_are_copied_while_the_trial_runs(job, remote, node):
    inputs = remote.upload_inputs([job]).for_job(job)
    with worker_files.localise_job(job, inputs) as (local_job, upload):
        Checkpoints(local_job.checkpoints, job.spec.trial_id).save({"step": 1})
        upload()
        for _ in range(100):
            if remote.storage.sizes("checkpoints"):
                break
            time.sleep(0.05)
        assert remote.storage.sizes("checkpoints")


def record_of(job) -> TrialRecord:
    return TrialRecord(trial_id=job.spec.trial_id, spec=job.spec, status="finished", started="now", finished="now")


def test_records_are_pushed_and_pulled(job, remote, tmp_path):
    record, ids = record_of(job), [job.spec.trial_id]
    RecordStore(remote.workspace.results).write(record)
    remote.storage.write(f"checkpoints/{record.trial_id}/00000001.ckpt", b"state")
    remote.storage.write(f"samples/{record.trial_id}/step-00000003.png", b"sheet")
    remote.push(ids)
    assert remote.storage.sizes("checkpoints") == {}
    assert (remote.workspace.samples / record.trial_id / "step-00000003.png").read_bytes() == b"sheet"
    RecordStore(remote.workspace.results).write(record.model_copy(update={"attempts": ["no luck"]}))
    remote.push(ids)
    record = RecordStore(remote.workspace.results).read(record.trial_id)
    other = RemoteSync(remote.storage, Workspace.at(tmp_path / "other"))
    assert (other.pull(ids), other.pull(ids)) == (1, 0)
    assert RecordStore(other.workspace.results).read(record.trial_id) == record
    assert [path.name for path in other.workspace.root.iterdir()] == ["results"]


@pytest.fixture
def bucket(monkeypatch):
    """The URI of a folder in a bucket of an S3 server on this machine."""
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
def test_an_s3_server(bucket, job, node, tmp_path):
    remote = RemoteSync(RemoteFiles.at(bucket), Workspace.at(tmp_path / "ws"))
    RecordStore(remote.workspace.results).write(record_of(job))
    remote.push([job.spec.trial_id])
    assert remote.storage.sizes("results")
    other = RemoteSync(RemoteFiles.at(bucket), Workspace.at(tmp_path / "other"))
    assert other.pull([job.spec.trial_id]) == 1
    inputs = remote.upload_inputs([job]).for_job(job)
    shutil.rmtree(tmp_path / "driver")
    with worker_files.localise_job(job, inputs) as (local_job, _):
        for step in (1, 2, 3):
            Checkpoints(local_job.checkpoints, job.spec.trial_id).save({"step": step})
    node("node b")
    with worker_files.localise_job(job.model_copy(update={"cpus": 2}), inputs) as (local_job, _):
        assert Checkpoints(local_job.checkpoints, job.spec.trial_id).load(CPU) == {"step": 3}
        assert (local_job.data / "train.npy").read_bytes() == b"images"


@pytest.mark.long
def test_a_bucket_that_does_not_exist_is_refused(bucket):
    with pytest.raises(UserError, match=r"--storage .*bucket does not exist"):
        RemoteFiles.at(bucket.replace("s3://bucket/", "s3://nobodys/"))
