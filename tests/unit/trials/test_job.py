"""A job on its way to a worker."""

import json
from pathlib import Path

from benchmark.evaluation.references import EvaluationAssets
from benchmark.trials.job import Job
from tests.support.examples import spec_of
from tests.support.trials import job_in


def test_a_job_survives_json():
    assets = EvaluationAssets(extractors={"digits": Path("c.pt")}, references={"fid": (Path("real"), Path("s.npz"))})
    spec = spec_of("ssgan", "mlp", "stacked_digits", average={"decay": 0.9, "start": 1})
    job = job_in(Path("folder"), spec, assets=assets, gpus=0.5, time_limit=1.5, vmap_seeds=3, graphs=True)
    received = Job.model_validate(json.loads(json.dumps(job.model_dump(mode="json"))))
    assert received == job
    assert received.spec.trial_id == job.spec.trial_id
