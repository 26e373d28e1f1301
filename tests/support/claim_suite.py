"""A suite with claims about two rows, and records whose values the tests choose."""

from benchmark.config.suite import load_suite
from benchmark.store.records import Measurement
from tests.support.report_suite import synthetic_record

PAPER = """
title: A Paper
authors: Somebody
venue: CVPR
year: 2019
url: https://example.org
tables: {}
claims:
  drop:
    sentence: '"the accuracy drops" at every switch'
    experiment: two rows, evaluated ten times
    source: the PDF, page 3
    status: verified
  small-scale:
    sentence: some output is smaller
    experiment: of any length
    source: the PDF, page 4
    status: verified
    scale: not_stated
    discrepancies: [SS-01]
  remembered:
    sentence: one is larger than the other
    experiment: of any length
    source: from memory
    status: unverified
"""

SUITE = """
title: A suite of claims
seeds: [0, 1, 2, 3, 4]
defaults:
  dataset: stacked_digits
  network: mlp
  latent: {dim: 64, distribution: normal}
  steps: 1000
  batch_size: 64
  optimizer: {lr: 2e-4, betas: [0.5, 0.9]}
  protocol: {measures: {modes: {n_fake: 25600}}, evaluations: 10}
tables:
  - title: Experiment
    rows:
      Plain: {method: gan}
      Rotated: {method: ssgan}
      Third: {method: msgan}
    claims:
CLAIMS
scales:
  paper: {}
  quick: {about: a tenth, cell: {steps: 20}}
  smoke: {synthetic: true, cell: {steps: 20}}
"""

DROP = {
    "published": "paper/drop",
    "left": {"row": "Plain", "output": "modes", "after": 100, "up_to": 200},
    "relation": "less",
    "right": {"up_to": 100},
}


def write_claims(folder, claims, paper=PAPER):
    """A suite file with these claims, by name, beside its paper."""
    import yaml

    (folder / "papers").mkdir(exist_ok=True)
    (folder / "papers" / "paper.yaml").write_text(paper)
    lines = yaml.safe_dump(claims, sort_keys=False, allow_unicode=True, width=1000).splitlines()
    path = folder / "claimed.yaml"
    path.write_text(SUITE.replace("CLAIMS", "\n".join(" " * 6 + line for line in lines)))
    return path


def load_claims(folder, claims, scale="paper", **options):
    """The suite with these claims."""
    return load_suite(write_claims(folder, claims), scale, **options)


def records_of(suite, value):
    """Finished records in which `value(row, seed, step)` maps the outputs to their values at a step."""
    records = {}
    for cell in suite.cells:
        for spec in cell.specs:
            history = [
                Measurement(step=step, metrics=value(cell.row, spec.seed, step)) for step in spec.evaluation_steps
            ]
            records[spec.trial_id] = synthetic_record(spec, history=history, samples_png="")
    return records
