"""Builds the trainer of a trial."""

import torch

from benchmark.core import registry
from benchmark.core.spec import TrialSpec
from benchmark.data.arrays import PreparedData
from benchmark.data.base import UNKNOWN_CLASSES, Dataset
from benchmark.data.sampler import ImageSampler, mask_labels
from benchmark.training.cuda_graphs import CudaGraphs
from benchmark.training.trainer import Trainer


def build_trainer(spec: TrialSpec, prepared: PreparedData, device: torch.device, graphs: bool = False) -> Trainer:
    """The method with weights drawn from the trial's seed, ready to train. `graphs`: turns are captured, on a GPU."""
    dataset = registry.datasets[spec.dataset]
    network_class, method_class = registry.networks[spec.network], registry.methods[spec.method]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)  # on the CPU, so that every device starts from the same weights
        network = network_class(
            dataset.shape, spec.latent.dim, network_class.Options.model_validate(spec.network_options)
        )
        options = method_class.Options.model_validate(spec.options)
        method = method_class(network, spec.latent.distribution, options, count_classes(dataset, prepared)).to(device)
    share = method_class.label_fraction(spec.options)
    labels = mask_labels(prepared.train.labels, share, dataset.stacked) if share else None
    images = ImageSampler(
        prepared.train.images,
        dataset.stacked,
        device,
        labels,
        max(dataset.num_labels, 0),
        num_fixed_stacks=dataset.num_fixed_stacks,
    )
    captured = CudaGraphs if graphs and device.type == "cuda" else None
    return Trainer(spec, method, images, network_class.image_range, device, graphs=captured)


def count_classes(dataset: type[Dataset], prepared: PreparedData) -> int:
    """Of how many manual classes the training images are: as the dataset says, or its files."""
    told = dataset.num_classes()
    return int(prepared.manifest.get("classes", 0)) if told == UNKNOWN_CLASSES else told


def evaluation_steps(steps: int, evaluations: int) -> list[int]:
    """Evenly spaced steps, the last one always included."""
    return [round(steps * (index + 1) / evaluations) for index in range(evaluations)]
