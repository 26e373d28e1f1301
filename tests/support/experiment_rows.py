"""Rows of a leaderboard for the figures of one experiment each, with small plug-ins in place of real ones."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from benchmark.analysis.leaderboard import MetricResult, TrialOutcome, leaderboard_rows
from benchmark.analysis.verdicts import Verdict
from benchmark.core import registry
from benchmark.core.protocol import metric_outputs
from benchmark.core.spec import Measure
from benchmark.data.base import MixtureComponents
from benchmark.evaluation.metrics.base import Metric, Output

CORNERS = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])


class Corners:
    """A mixture of four components in the plane."""

    name, shape, is_points, stacked, transformations = "corners", (2,), True, 1, "shifts"
    mixture = MixtureComponents(CORNERS, 0.05)


class TwoClasses:
    """Images of two classes."""

    name, shape, is_points, stacked, mixture = "two_classes", (1, 8, 8), False, 1, None

    @staticmethod
    def num_classes():
        return 2


class ExampleMetric(Metric):
    """A metric with percentages as outputs, which is never computed."""

    needs_samples = False
    keys = ()

    @classmethod
    def outputs(cls, options):
        return tuple(Output.percentage(key, f"title of {key}") for key in cls.keys)

    @classmethod
    def check_config(cls, options, dataset, n_fake):
        return None

    def compute(self):
        raise NotImplementedError


class NearCorners(ExampleMetric):
    """Covers the corners within 0.15 of a sample."""

    name, keys = "near_corners", ("corners",)

    @classmethod
    def covered_modes(cls, options, dataset, points):
        distances = np.linalg.norm(points[:, None] - CORNERS, axis=2)
        return CORNERS, (distances < 0.15).any(axis=0)


class TurnAccuracy(ExampleMetric):
    """An accuracy on tasks in turn."""

    name, keys = "turn_accuracy", ("turn", "turn_next")

    @classmethod
    def next_task_outputs(cls):
        return {"turn": "turn_next"}


class ClassLoss(ExampleMetric):
    """A loss of all images, and of the images of three classes."""

    name, keys = "class_loss", ("loss", "loss_0", "loss_1", "loss_2")

    @classmethod
    def class_outputs(cls, options):
        return {"loss": ("loss_0", "loss_1", "loss_2")}


PLUG_INS = {
    registry.datasets: {"corners": "Corners", "two_classes": "TwoClasses"},
    registry.metrics: {"near_corners": "NearCorners", "turn_accuracy": "TurnAccuracy", "class_loss": "ClassLoss"},
}


@pytest.fixture
def experiment_row(monkeypatch, suite):
    """Makes a row: `row(label, records, metric="...", **fields of its specs)`.

    A record is what its trial left: (n, D) sample points, or metrics by step.
    """
    for plug_ins, entries in PLUG_INS.items():
        for name, class_name in entries.items():
            monkeypatch.setitem(plug_ins._entries, name, f"{__name__}:{class_name}")
    template = leaderboard_rows(suite, {})[0]

    def record(content, status):
        is_points = isinstance(content, np.ndarray)
        history = [] if is_points else [SimpleNamespace(step=s, metrics=m) for s, m in content.items()]
        return SimpleNamespace(
            status=status,
            sample_points=content if is_points else None,
            history=history,
            metrics=history[-1].metrics if history else {},
            data={},
        )

    def make(label, records, metric="turn_accuracy", status="finished", **fields):
        protocol = template.spec.protocol.model_copy(update={"measures": {metric: Measure(metric=metric)}})
        fields = {"options": {}, "protocol": protocol, **fields}
        specs = tuple(template.spec.model_copy(update={**fields, "seed": seed}) for seed in range(len(records)))
        trials = tuple(TrialOutcome(spec, record(one, status)) for spec, one in zip(specs, records, strict=True))
        empty = {"aggregate": None, "published": None, "reference": None, "verdict": Verdict.NOT_RUN}
        results = {key: MetricResult(output=output, **empty) for key, output in metric_outputs(protocol).items()}
        return replace(template, cell=replace(template.cell, row=label, specs=specs), trials=trials, results=results)

    return make
