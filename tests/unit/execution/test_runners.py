"""Ray Tune for real, once: the same numbers as the in-process runner, and a trial that fails has a record too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from pathlib import Path
import torch
from benchmark.config.suite import load_suite
from benchmark.data.datasets.stacked_digits import StackedDigits
from benchmark.evaluation.extractors.digits import DigitClassifier
from benchmark.evaluation.references import EvaluationAssets
from benchmark.execution.events import AttemptFailed, TrialFinished, TrialStarted
from benchmark.execution.ray.driver import RayRunner
from benchmark.execution.runners import InProcessRunner
from benchmark.trials.job import Job

root = Path(sys.argv[1])
data = StackedDigits.prepare(root, root / "data")
torch.manual_seed(0)
torch.save({"state": DigitClassifier(8).state_dict(), "accuracy": 0.5, "size": 8}, root / "c.pt")
specs = list(load_suite(Path(sys.argv[2])).specs.values())
assets = EvaluationAssets(extractors={"digits": root / "c.pt"}, references={})
folders = {"data": data, "checkpoints": root / "checkpoints", "samples": root / "samples"}
jobs = [Job(spec=spec, assets=assets, cpus=1, gpus=0.0, **folders) for spec in specs]
# two more seeds of each, trained together
jobs += [job.model_copy(update={"spec": spec, "vmap_seeds": 2}) for job in jobs for spec in job.spec.with_seeds([7, 8])]

class Listener:
    def __init__(self):
        self.records, self.started, self.steps, self.failures = {}, [], set(), {}

    def handle(self, event):
        match event:
            case TrialStarted(trial_id):
                self.started.append(trial_id)
            case AttemptFailed(trial_id, reason):
                self.failures[trial_id] = reason
            case TrialFinished(record):
                self.records[record.trial_id] = record
            case progress:
                self.steps.add(progress.step)

def sample_grids():
    return {path.relative_to(root): path.read_bytes() for path in (root / "samples").rglob("*.png")}

in_process, with_ray = Listener(), Listener()
InProcessRunner().run(jobs, [in_process])
grids = sample_grids()
assert len(grids) == 2 * len(jobs), in_process.records
for path in (root / "samples").rglob("*.png"):
    path.unlink()
ray_jobs = [job.model_copy(update={"checkpoints": root / "elsewhere"}) for job in jobs]
other_seed = specs[0].model_copy(update={"seed": 99})
broken = ray_jobs[0].model_copy(update={"spec": other_seed, "data": root / "no such data"})
RayRunner(root / "ray").run([broken, *ray_jobs], [with_ray])
assert set(with_ray.started) == {job.spec.trial_id for job in [*jobs, broken]}
assert 6 in with_ray.steps
failed_id = broken.spec.trial_id
failed = with_ray.records.pop(failed_id)
assert failed.status == "failed" and "no such data" in failed.error, failed
assert failed.attempts == [with_ray.failures[failed_id]] and with_ray.started.count(failed_id) == 2
for trial_id, record in in_process.records.items():
    other = with_ray.records[trial_id]
    assert record.status == other.status == "finished", other.error
    assert record.history == other.history and record.samples_png == other.samples_png
    assert other.environment["threads"] == 1
    assert record.environment.get("together", 1) == other.environment.get("together", 1) == 1 + (record.spec.seed > 6)
assert sample_grids() == grids
print("same numbers")
"""


@pytest.mark.slow
def test_ray_gives_the_same_numbers_as_the_in_process_runner(tmp_path, small_suite):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "ws"), str(small_suite(seeds=[0]))],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert done.stdout.strip().endswith("same numbers"), done.stdout + done.stderr
    noise = [line for line in (done.stdout + done.stderr).splitlines() if "Ray" in line or "ray" in line]
    assert not noise, "Ray's own tables and warnings do not reach the user"
