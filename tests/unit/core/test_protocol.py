"""Names of the numbers that protocols produce."""

from benchmark.core.protocol import all_output_keys


def test_the_output_keys_cover_every_extractor_that_a_metric_accepts():
    keys = all_output_keys()
    assert {"fid", "fd_inception_torchvision", "kd_pixels", "precision", "precision_inception", "modes"} <= keys
    assert {"isc", "classifier_score_inception_torchvision", "rotation_accuracy", "probe_accuracy"} <= keys
    assert not {"fid_inception", "fd_inception", "modes_pixels"} & keys
    assert not {"classifier_score_vgg16", "classifier_score_pixels"} & keys, "they name no classes"
