"""Builds the trainer of a trial."""

import torch

from baselines.common.transformations import SETS
from benchmark.core import registry
from benchmark.core.spec import TrialSpec
from benchmark.data.arrays import PreparedData
from benchmark.data.base import UNKNOWN_CLASSES, Dataset
from benchmark.data.sampler import ImageSampler, mask_labels
from benchmark.training.cuda_graphs import CudaGraphs
from benchmark.training.recorded_graphs import RecordedGraphs
from benchmark.training.trainer import Trainer


def build_trainer(spec: TrialSpec, data: PreparedData, device: torch.device, graphs: bool = False) -> Trainer:
    """A trainer before its first step. Initial weights depend on the trial's seed alone.

    Args:
        spec: the trial.
        data: the prepared dataset.
        device: where it trains.
        graphs: whether updates are captured as graphs: CUDA graphs on a GPU, recorded ones on a CPU.
    """
    dataset = registry.datasets[spec.dataset]
    network_class, method_class = registry.networks[spec.network], registry.methods[spec.method]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)  # on the CPU, so that every device starts from the same weights
        network = network_class(
            dataset.shape, spec.latent_dim, network_class.Options.model_validate(spec.network_options)
        )
        distribution = spec.latent.distribution if spec.latent else ""
        options = method_class.Options.model_validate(spec.options)
        method = method_class(network, distribution, options, count_classes(dataset, data)).to(device)
    method.power_iterations = None if spec.power_iterations == "one_per_call" else spec.power_iterations.model_dump()
    method.transformations = SETS[dataset.transformations]
    label_fraction = method_class.label_fraction(spec.options)
    images = ImageSampler(
        data.train.images,
        dataset.stacked,
        device,
        labels=mask_labels(data.train.labels, label_fraction, dataset.stacked) if label_fraction else None,
        num_labels=max(dataset.num_labels, 0),
        num_fixed_stacks=dataset.num_fixed_stacks,
        sampling=spec.sampling,
    )
    backend = (CudaGraphs if device.type == "cuda" else RecordedGraphs) if graphs else None
    return Trainer(
        spec, method, images=images, image_range=network_class.image_range, device=device, graph_backend=backend
    )


def count_classes(dataset: type[Dataset], data: PreparedData) -> int:
    """The number of manual classes of the training images, as the dataset declares or its files show."""
    classes = dataset.num_classes()
    return int(data.manifest.get("classes", 0)) if classes == UNKNOWN_CLASSES else classes
