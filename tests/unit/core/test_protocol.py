"""Names of the numbers that protocols produce."""

import pytest

from benchmark.core import registry
from benchmark.core.protocol import BoundMetric, all_output_keys
from benchmark.core.spec import Measure


def test_the_output_keys_cover_every_extractor_that_a_metric_accepts():
    keys = all_output_keys()
    assert {"fid", "fd_inception_torchvision", "kd_pixels", "precision", "precision_inception", "modes"} <= keys
    assert {"isc", "classifier_score_inception_torchvision", "rotation_accuracy", "probe_accuracy"} <= keys
    assert not {"fid_inception", "fd_inception", "modes_pixels"} & keys
    assert not {"classifier_score_vgg16", "classifier_score_pixels"} & keys, "they name no classes"


@pytest.mark.parametrize("name", list(registry.metrics))
def test_outputs_with_a_figure_of_their_own_are_outputs(name):
    metric = registry.metrics[name]
    bound = BoundMetric(f"{name}_x", Measure(metric=name), metric, metric.Options(), "_x")
    keys = {output.key for output in bound.outputs}
    summaries = {*bound.next_task_outputs, *bound.class_outputs}
    assert bound.detail_outputs <= keys
    assert summaries <= keys - bound.detail_outputs


def test_metrics_of_the_experiments_with_figures_name_their_details():
    """`tasks.png` and `class_losses.png` are drawn for them."""
    for name, details in {"task_accuracy": 2, "ss_task_loss": 10, "ms_task_loss": 10}.items():
        metric = registry.metrics[name]
        assert len(BoundMetric(name, Measure(metric=name), metric, metric.Options(), "").detail_outputs) == details
