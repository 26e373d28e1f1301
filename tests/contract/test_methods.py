"""The contract of every registered method on every registered network that offers its roles."""

import json
import math
import re
from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from baselines.common.ema import EMA
from baselines.common.method import EagerStepInputs
from baselines.networks.layers.conditional import ConditionalBatchNorm
from benchmark.core import registry
from benchmark.data.sampler import to_range
from benchmark.training import checkpoint
from tests.support.examples import (
    BATCH,
    CPU,
    advance,
    assert_equal,
    combinations,
    differing_names,
    paired_combinations,
    register_stand_ins,
    small_options,
    smallest_options,
    spec_of,
    switches,
    trainer_of,
)

COMBINATIONS = combinations()
LIVELY_SEED = 4  # with this one no net, narrow as they are, starts with dead ReLUs


@pytest.fixture(params=COMBINATIONS, ids="-".join)
def spec(request, monkeypatch):
    register_stand_ins(monkeypatch)
    return spec_of(*request.param)


@pytest.fixture(params=combinations(every_size=False), ids="-".join)
def small_spec(request, monkeypatch):
    """For what depends on a network and not on the size of its images."""
    register_stand_ins(monkeypatch)
    return spec_of(*request.param)


def each_player_alone(trainer):
    """The names of the players; while one is visited, the trainer trains no other."""
    for player in trainer.players:
        trainer.players = [player]
        yield player.name


def inputs_of(trainer):
    batch = trainer.images.draw(BATCH, trainer.rng)
    return EagerStepInputs(to_range(batch.images, trainer.image_range), 0.5, trainer.rng, batch.labels)


def averages_in(method):
    """Ids of the parameters of moving averages, which no player trains."""
    return {id(p) for m in method.modules() if isinstance(m, EMA) for p in m.parameters()}


def weights(module):
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def test_every_method_and_every_network_is_tried():
    assert {method for method, _, _ in COMBINATIONS} == set(registry.methods)
    tried = {(network, dataset) for _, network, dataset in COMBINATIONS}
    assert {network for network, _ in tried} == set(registry.networks)
    for network in registry.networks:
        assert sum(name == network for name, _ in tried) >= len(registry.networks[network].shapes)


# --- metadata and options ------------------------------------------------------------------------------


def test_method_metadata(method_name):
    method = registry.methods[method_name]
    assert re.fullmatch(r"[a-z][a-z0-9_]*", method_name)
    assert method.title.strip()
    assert method.about.strip()
    assert " et al., " in method.paper
    assert 2014 <= method.year <= 2100
    assert len(set(method.players)) == len(method.players) >= 1 + method.has_generator
    assert "discriminator" in method.roles
    assert method.has_generator == ("generator" in method.roles) == ("generator" in method.players)
    assert method.task_classes >= 0


def test_titles_and_abouts_are_a_methods_own():
    for field in ("title", "about"):
        assert len({getattr(registry.methods[name], field) for name in registry.methods}) == len(list(registry.methods))


def test_options_survive_json(method_name):
    model = registry.methods[method_name].Options
    options = model.model_validate(smallest_options(model))
    dumped = options.model_dump(mode="json")
    assert model.model_validate(json.loads(json.dumps(dumped))) == options
    assert set(dumped) == set(model.model_fields), "every option is written out"


def test_options_are_frozen_and_unknown_ones_are_refused(method_name):
    model = registry.methods[method_name].Options
    options = smallest_options(model)
    with pytest.raises(ValidationError, match="Extra inputs"):
        model.model_validate(options | {"no_such_option": 1})
    with pytest.raises(ValidationError, match="frozen"):
        setattr(model.model_validate(options), next(iter(model.model_fields)), 0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, "much", True])
def test_numeric_options_refuse_invalid_weights(method_name, value):
    model = registry.methods[method_name].Options
    for name, field in model.model_fields.items():
        if field.annotation is float:
            with pytest.raises(ValidationError):
                model.model_validate(smallest_options(model) | {name: value})


@pytest.mark.parametrize("network_name", list(registry.networks))
def test_network_metadata(network_name):
    network = registry.networks[network_name]
    assert network.about.strip()
    assert network.shapes
    dimensions = {len(shape) for shape in network.shapes}
    assert dimensions in ({1}, {3}), "points or images"
    assert all(min(shape) > 0 for shape in network.shapes)
    assert "discriminator" in network.roles
    assert (network.image_range is None) is (dimensions == {1})
    if network.image_range:
        low, high = network.image_range
        assert low < high
    model = network.Options
    options = model.model_validate(smallest_options(model))
    assert model.model_validate(json.loads(json.dumps(options.model_dump(mode="json")))) == options
    with pytest.raises(ValidationError, match="Extra inputs"):
        model.model_validate(smallest_options(model) | {"no_such_option": 1})


def test_a_network_without_encoder_refuses_to_build_one():
    lacking = [n for n in registry.networks if "encoder" not in registry.networks[n].roles]
    for name in lacking:
        network = registry.networks[name]
        options = network.Options.model_validate(smallest_options(network.Options))
        with pytest.raises(NotImplementedError, match="no encoder"):
            network(next(iter(network.shapes)), 12, options).encoder()


def test_a_network_without_generator_refuses_to_build_one():
    for name in (n for n in registry.networks if "generator" not in registry.networks[n].roles):
        network = registry.networks[name]
        options = network.Options.model_validate(smallest_options(network.Options))
        with pytest.raises(NotImplementedError, match="no generator"):
            network(next(iter(network.shapes)), 12, options).generator()


def test_a_method_has_the_generator_that_it_says_and_latents_for_it(method_name):
    spec = spec_of(method_name, "mlp", "stacked_digits")
    if not registry.methods[method_name].has_generator:
        spec = spec.model_copy(update={"latent": None})
    method = trainer_of(spec).method
    assert hasattr(method, "generator") is method.has_generator
    assert method.latent_dim == (12 if method.has_generator else 0)


def test_sequential_tasks_follow_the_number_of_updates(method_name):
    trainer = trainer_of(spec_of(method_name, "mlp", "stacked_digits"))
    if not trainer.method.has_sequential_tasks:
        with pytest.raises(NotImplementedError, match="one task after the other"):
            trainer.method.sequential_tasks()
        return
    assert trainer.method.sequential_tasks() == (0, 0)


def test_a_rotation_head_gives_four_finite_logits_per_image(method_name):
    trainer = trainer_of(spec_of(method_name, "mlp", "stacked_digits"))
    real = inputs_of(trainer).real
    if not trainer.method.has_rotation_head:
        with pytest.raises(NotImplementedError, match="no rotation head"):
            trainer.method.rotation_logits(real)
        return
    trainer.method.eval()
    with torch.no_grad():
        logits = trainer.method.rotation_logits(real)
        torch.testing.assert_close(trainer.method.rotation_logits(real[:1]), logits[:1])
    assert logits.shape == (BATCH, 4)
    assert torch.isfinite(logits).all()


def test_a_discriminator_takes_single_images_if_it_is_per_image(method_name):
    trainer = trainer_of(spec_of(method_name, "mlp", "stacked_digits"))
    image = inputs_of(trainer).real[:1]
    if trainer.method.is_per_image:
        assert len(trainer.method.discriminate(image).features) == 1
    else:
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            trainer.method.discriminate(image)


# --- training -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", paired_combinations(), ids="-".join)
def test_every_player_trains_on_every_network_and_on_every_size_that_fits(names, monkeypatch):
    register_stand_ins(monkeypatch)
    trainer = trainer_of(spec_of(*names, seed=LIVELY_SEED))
    before = weights(trainer.method)
    losses = advance(trainer, 1).mean_losses()
    assert {name.partition("/")[0] for name in losses} == set(trainer.method.players)
    assert all(math.isfinite(value) for value in losses.values())
    moved = differing_names(before, weights(trainer.method))
    for name in trainer.method.players:
        own = {id(p) for module in trainer.method.player_modules(name) for p in module.parameters()}
        assert any(id(p) in own and n in moved for n, p in trainer.method.named_parameters()), name


def train_and_sample(spec):
    trainer = advance(trainer_of(spec), 2)
    losses = trainer.mean_losses()
    assert {name.partition("/")[0] for name in losses} == set(registry.methods[spec.method].players)
    if registry.methods[spec.method].has_generator:
        sampled(trainer, 4)


METHOD_SWITCHES = [(name, *switch) for name in registry.methods for switch in switches(registry.methods[name].Options)]
NETWORK_SWITCHES = [
    (name, *switch) for name in registry.networks for switch in switches(registry.networks[name].Options)
]


@pytest.mark.parametrize(("name", "key", "value"), METHOD_SWITCHES)
def test_every_switch_of_a_method_trains(name, key, value):
    method = registry.methods[name]
    options = smallest_options(method.Options) | {key: value}
    problem = method.check_config(options, BATCH, 1000)
    if problem:
        pytest.skip(problem)
    train_and_sample(spec_of(name, "mlp", "stacked_digits", options=options))


@pytest.mark.parametrize(("name", "key", "value"), NETWORK_SWITCHES)
def test_every_switch_of_a_network_trains(name, key, value, monkeypatch):
    register_stand_ins(monkeypatch)
    dataset = next(dataset for _, network, dataset in combinations(every_size=False) if network == name)
    method = "ssgan" if "generator" in registry.networks[name].roles else "rotation_classifier"
    train_and_sample(spec_of(method, name, dataset, network_options=small_options(name) | {key: value}))


def test_a_loss_is_made_of_finite_scalars_that_depend_on_its_player(small_spec):
    trainer = trainer_of(small_spec)
    for player in trainer.players:
        terms = trainer.method.loss(player.name, inputs_of(trainer))
        assert terms
        assert all(term.shape == () and torch.isfinite(term) for term in terms.values())
        gradients = torch.autograd.grad(sum(terms.values()), player.parameters, allow_unused=True)
        assert any(g is not None and g.any() for g in gradients)


def test_a_player_moves_its_own_parameters_and_no_others(small_spec):
    trainer = trainer_of(small_spec)
    for name in each_player_alone(trainer):
        own = {id(p) for module in trainer.method.player_modules(name) for p in module.parameters()}
        before = weights(trainer.method)
        advance(trainer, 1)
        moved = differing_names(before, weights(trainer.method))
        parameters = {n: p for n, p in trainer.method.named_parameters() if id(p) not in averages_in(trainer.method)}
        assert {n for n in moved if n in parameters and id(parameters[n]) not in own} == set()
        assert any(n in moved for n in parameters)


def test_every_parameter_of_a_player_gets_a_gradient(spec):
    """With non-zero weights, nothing is exempt from having one. Only biases whose effect a batch norm takes away, or
    that raise all scores alike, may have a zero one. A sigmoid far from 0 has a gradient that rounds to 0, a hinge one
    that is 0, and so has a label that does not count: not here.
    """
    lively = {"loss": "log", "game": "non_saturating", "threshold": 0.0}
    offered = registry.methods[spec.method].Options.model_fields
    options = spec.options | {name: value for name, value in lively.items() if name in offered}
    spec = spec.model_copy(update={"options": options, "seed": LIVELY_SEED})
    for name in registry.methods[spec.method].players:
        trainer = trainer_of(spec)  # untrained: a step can leave a net as narrow as these with dead ReLUs
        trainer.players = [player for player in trainer.players if player.name == name]
        exempt = biases_before_batch_norm(trainer.method) | biases_of_scores(trainer.method, inputs_of(trainer).real)
        advance(trainer, 1)
        for module in trainer.method.player_modules(name):
            for parameter_name, parameter in module.named_parameters():
                where = f"{name}: {parameter_name}"
                assert parameter.grad is not None, where
                assert torch.isfinite(parameter.grad).all(), where
                assert parameter.grad.any() or id(parameter) in exempt, where


def biases_before_batch_norm(method):
    found = set()
    for module in method.modules():
        if isinstance(module, nn.Sequential):
            with_weights = [
                m for m in module if isinstance(m, ConditionalBatchNorm) or list(m.parameters(recurse=False))
            ]
            for layer, following in pairwise(with_weights):
                normed = isinstance(following, nn.modules.batchnorm._BatchNorm | ConditionalBatchNorm)
                if normed and getattr(layer, "bias", None) is not None:
                    found.add(id(layer.bias))
    return found


def gradients_of(method, output):
    own = list(method.discriminator.parameters())
    with torch.enable_grad():
        found = torch.autograd.grad(output.sum(), own, allow_unused=True, retain_graph=True)
    return list(zip(own, found, strict=True))


def biases_of_scores(method, images):
    """Biases that are added to a score as they are. Losses of differences, as Wasserstein's, ignore them, and
    so does a hinge game in which no image is clipped."""
    (output,) = method.discriminate_batches(images)
    heads = [head for head in (output.logit, output.class_logits) if head.requires_grad]
    return {
        id(p)
        for head in heads
        for p, gradient in gradients_of(method, head)
        if gradient is not None and p.dim() == 1 and (gradient == len(output.logit)).all()
    }


def test_players_cover_every_parameter_of_the_method(spec):
    method = trainer_of(spec).method
    covered = {id(p) for name in method.players for module in method.player_modules(name) for p in module.parameters()}
    assert covered == {id(p) for p in method.parameters()} - averages_in(method)
    assert not covered & averages_in(method)


def test_real_images_and_generated_ones_are_alike_in_shape_and_range(spec):
    trainer = trainer_of(spec)
    if not trainer.method.has_generator:
        return
    shape = registry.datasets[spec.dataset].shape
    latents, *conditions = trainer.method.generator_input(BATCH, trainer.rng)
    images = trainer.method.generator(latents, *conditions)
    assert latents.shape == (BATCH, spec.latent.dim)
    assert images.shape == (BATCH, *shape)
    if trainer.image_range:
        low, high = trainer.image_range
        assert low <= images.min()
        assert images.max() <= high


# --- reproducibility ----------------------------------------------------------------------------------------


def test_another_seed_gives_other_weights_and_other_random_numbers(small_spec):
    other_spec = small_spec.model_copy(update={"seed": small_spec.seed + 1})
    one, other = trainer_of(small_spec), trainer_of(other_spec)
    if one.method.has_generator:
        assert differing_names(weights(one.method.generator), weights(other.method.generator))
    assert differing_names(weights(one.method.discriminator), weights(other.method.discriminator))
    other.method.load_state_dict(one.method.state_dict())
    advance(one, 1)
    advance(other, 1)
    assert differing_names(weights(one.method), weights(other.method))


def test_a_resumed_training_is_bit_identical_and_leaves_the_global_stream_alone(small_spec, tmp_path):
    global_stream = torch.get_rng_state()
    whole = advance(trainer_of(small_spec), 2)
    path = tmp_path / "state.pt"
    checkpoint.save(path, advance(trainer_of(small_spec), 1).state())
    resumed = trainer_of(small_spec)
    with torch.no_grad():
        for tensor in resumed.method.state_dict().values():
            tensor.zero_()  # all must come from the file
    resumed.restore(checkpoint.load(path, CPU))
    assert resumed.step == 1
    advance(resumed, 1)
    assert_equal(resumed.state(), whole.state())
    assert_equal(resumed.mean_losses(), whole.mean_losses())
    assert torch.equal(torch.get_rng_state(), global_stream)


# --- sampling ------------------------------------------------------------------------------------------


def ways_to_sample():
    """Every method on small networks, and every other network with each kind of generator input."""
    chosen = {}
    generating = [names for names in combinations(every_size=False) if registry.methods[names[0]].has_generator]
    for method, network, dataset in generating:
        way = method if network == "mlp" else registry.methods[method].generator_input
        chosen.setdefault((network, dataset, way), (method, network, dataset))
    return list(chosen.values())


@pytest.fixture(params=ways_to_sample(), ids="-".join)
def sampled_spec(request, monkeypatch):
    register_stand_ins(monkeypatch)
    return spec_of(*request.param)


@pytest.fixture(params=["batch", "moving_average"])
def sampling_spec(sampled_spec, request):
    protocol = sampled_spec.protocol.model_copy(update={"batch_norm": request.param})
    return sampled_spec.model_copy(update={"protocol": protocol})


def sampled(trainer, n):
    return torch.cat(list(trainer.samples(n)))


def test_samples_are_n_byte_images_or_points_and_do_not_depend_on_n(sampling_spec):
    trainer = advance(trainer_of(sampling_spec), 1)
    many = sampled(trainer, 9)
    for n in (1, 3, 4, 6):
        images = sampled(trainer, n)
        assert images.dtype is (torch.uint8 if trainer.image_range else torch.float32)
        assert images.shape == (n, *registry.datasets[sampling_spec.dataset].shape)
        assert torch.equal(images, many[:n])


def test_other_latents_give_other_samples(sampled_spec):
    trainer = advance(trainer_of(sampled_spec), 1)
    with torch.no_grad():
        for weight in trainer.method.generator.parameters():
            weight.mul_(8)  # weights that start small make images that are alike after rounding
    assert len({str(image.tolist()) for image in sampled(trainer, 6)}) > 1


def test_sampling_does_not_disturb_training(sampling_spec):
    undisturbed = advance(trainer_of(sampling_spec), 2)
    trainer = advance(trainer_of(sampling_spec), 1)
    sampled(trainer, 6)
    next(trainer.samples(20))  # not exhausted
    assert all(module.training for module in trainer.method.modules())
    advance(trainer, 1)
    assert_equal(trainer.state(), undisturbed.state())


def test_samples_change_with_training(sampled_spec):
    trainer = trainer_of(sampled_spec)
    before = sampled(trainer, 4)
    advance(trainer, 2)
    assert not torch.equal(before, sampled(trainer, 4))
