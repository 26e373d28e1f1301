"""Ray Tune for real, once: the same numbers as in this process, and dead workers as rows."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from benchmark.data.prepared import open_prepared
from benchmark.data.datasets.stacked_digits import StackedDigits
from benchmark.evaluation.extractors.digits import DigitClassifier
from benchmark.evaluation.references import Instruments
from benchmark.execution.in_process import InProcessRunner
from benchmark.execution.ray.driver import RayRunner
from benchmark.config.suite import load_suite
from benchmark.trials.job import Job

root = Path(sys.argv[1])
data = StackedDigits.prepare(root, root / "data")
torch.manual_seed(0)
torch.save({"state": DigitClassifier(8).state_dict(), "accuracy": 0.5, "size": 8}, root / "c.pt")
specs = list(load_suite(Path(sys.argv[2])).specs.values())
found = Instruments(extractors={"digits": root / "c.pt"}, references={})
folders = {"data": data, "checkpoints": root / "checkpoints", "samples": root / "samples"}
jobs = [Job(spec=spec, assets=found, cpus=1, gpus=0.0, **folders) for spec in specs]
# two more seeds of each, trained as one
jobs += [job.model_copy(update={"spec": spec, "vmap_seeds": 2}) for job in jobs for spec in job.spec.with_seeds([7, 8])]

class RunListener:
    def __init__(self):
        self.records, self.begun, self.heard, self.trouble = {}, [], [], {}
    def started(self, trial_id):
        self.begun.append(trial_id)
    def progressed(self, progress):
        self.heard.append(progress.step)
    def failed(self, trial_id, reason):
        self.trouble[trial_id] = reason
    def finished(self, record):
        self.records[record.trial_id] = record

here, there = RunListener(), RunListener()
InProcessRunner().run(jobs, here)
def sheets():
    return {path.relative_to(root): path.read_bytes() for path in (root / "samples").rglob("*.png")}
before = sheets()
assert len(before) == 2 * len(jobs), here.records
for path in (root / "samples").rglob("*.png"):
    path.unlink()
elsewhere = [job.model_copy(update={"checkpoints": root / "elsewhere"}) for job in jobs]
other_seed = specs[0].model_copy(update={"seed": 99})
lost = elsewhere[0].model_copy(update={"spec": other_seed, "data": root / "no such data"})
RayRunner(root / "ray").run([lost, *elsewhere], there)
assert set(there.begun) == {job.spec.trial_id for job in [*jobs, lost]}
assert 6 in there.heard
failed = there.records.pop(lost.spec.trial_id)
assert failed.status == "failed" and "no such data" in failed.error, failed
assert failed.attempts == [there.trouble[lost.spec.trial_id]] and there.begun.count(lost.spec.trial_id) == 2
for trial_id, record in here.records.items():
    other = there.records[trial_id]
    assert record.status == other.status == "finished", other.error
    assert record.history == other.history and record.samples_png == other.samples_png
    assert other.environment["threads"] == 1
    assert record.environment.get("together", 1) == other.environment.get("together", 1) == 1 + (record.spec.seed > 6)
assert sheets() == before
print("same numbers")
"""


@pytest.mark.slow
def test_ray_gives_the_same_numbers_as_this_process(tmp_path, small_suite):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    suite = small_suite(seeds=[0])
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "ws"), str(suite)],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=Path.cwd(),
        env={**__import__("os").environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert done.stdout.strip().endswith("same numbers"), done.stdout + done.stderr
    noise = [line for line in (done.stdout + done.stderr).splitlines() if "Ray" in line or "ray" in line]
    assert not noise, noise  # Ray's own boxes and warnings do not drown our view
