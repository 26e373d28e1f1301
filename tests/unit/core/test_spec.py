"""What the identity of a trial depends on and what it does not depend on."""

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from benchmark.core.spec import TrialSpec, canonical_json, content_hash

LITERAL = {
    "method": "ssgan",
    "options": {"batches": "subset", "weight_d": 1.0},
    "network": "mlp",
    "network_options": {"generator_width": 256},
    "dataset": "stacked_digits",
    "latent": {"dim": 64, "distribution": "normal"},
    "steps": 1500,
    "batch_size": 64,
    "discriminator_steps": 1,
    "optimizer": {"lr": 2e-4, "betas": [0.5, 0.9], "eps": 1e-8, "player_lr": {"generator": 1e-4}},
    "precision": "float32",
    "protocol": {
        "measures": {
            "modes": {"metric": "modes", "n_fake": 25600, "codec": "none", "options": {"extractor": "digits"}},
        },
        "evaluations": 5,
        "sample_batch": 640,
        "batch_norm": "moving_average",
        "draws": 1,
    },
    "seed": 0,
    "version": 1,
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def spec(**changes):
    return TrialSpec.model_validate({**LITERAL, **changes})


def shuffled(value, rng):
    """The same value with the keys of every dictionary in another order."""
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {key: shuffled(value[key], rng) for key in keys}
    return [shuffled(item, rng) for item in value] if isinstance(value, list) else value


def test_the_identity_of_a_literal_trial_is_unchanged():
    """If the identity changes by accident, every stored result is trained again.

    Change the expected value only together with RECIPE_VERSION, or with a new field of a trial.
    """
    assert spec().trial_id == "fbfc7009f33ff1ef"


@given(value=json_values, seed=st.integers(0, 9))
def test_canonical_form_does_not_depend_on_the_order_of_keys(value, seed):
    assert canonical_json(shuffled(value, random.Random(seed))) == canonical_json(value)
    assert content_hash(shuffled(value, random.Random(seed))) == content_hash(value)


@given(value=json_values)
def test_canonical_form_keeps_the_value(value):
    assert json.loads(canonical_json(value)) == value


@given(one=json_values, other=json_values)
def test_different_values_have_different_canonical_forms_and_hashes(one, other):
    if json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True):
        assert canonical_json(one) != canonical_json(other)
        assert content_hash(one) != content_hash(other)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_numbers_have_no_canonical_form(value):
    with pytest.raises(ValueError):
        canonical_json({"lr": value})


def test_the_order_of_keys_does_not_change_the_id():
    for seed in range(5):
        assert TrialSpec.model_validate(shuffled(LITERAL, random.Random(seed))).trial_id == spec().trial_id


def test_an_explicit_default_gives_the_same_id():
    short = {key: value for key, value in LITERAL.items() if key not in ("discriminator_steps", "precision")}
    assert TrialSpec.model_validate(short).trial_id == spec().trial_id


def test_an_id_survives_json_and_is_16_hexadecimal_digits():
    again = TrialSpec.model_validate_json(spec().model_dump_json())
    assert again == spec()
    assert again.trial_id == spec().trial_id
    assert len(spec().trial_id) == 16
    assert set(spec().trial_id) <= set("0123456789abcdef")


@given(st.lists(st.integers(0, 2**31 - 1), max_size=4), st.dictionaries(st.text(), json_values, max_size=3))
def test_with_seeds_gives_the_same_trials_as_separate_specs(seeds, options):
    trials = spec(options=options, seed=3).with_seeds(seeds)
    alone = [spec(options=options, seed=seed) for seed in seeds]
    assert [trial.trial_id for trial in trials] == [trial.trial_id for trial in alone]
    assert list(trials) == alone


CHANGES = {
    "method": "gan",
    "options": {"batches": "quarters", "weight_d": 1.0},
    "network": "cnn",
    "network_options": {"generator_width": 255},
    "dataset": "stacked_mnist",
    "latent": None,
    "latent.dim": 65,
    "latent.distribution": "uniform",
    "steps": 1501,
    "batch_size": 65,
    "discriminator_steps": 2,
    "optimizer.lr": 2.0000001e-4,
    "optimizer.betas": [0.5, 0.901],
    "optimizer.eps": 1e-7,
    "optimizer.epsilon": "tensorflow",
    "optimizer.player_lr": {"generator": 2e-4},
    "optimizer.nesterov": {"generator": 0.9},
    "protocol.measures": {"modes": {"n_fake": 25601, "options": {"extractor": "digits"}}},
    "protocol.measures.modes.codec": "jpeg",
    "protocol.measures.modes.averaged": 5,
    "protocol.measures.modes.options": {"extractor": "another"},
    "protocol.draws": 2,
    "protocol.evaluations": 6,
    "protocol.sample_batch": 641,
    "protocol.batch_norm": "batch",
    "seed": 1,
    "average": {"decay": 0.9999, "start": 10_000},
    "optimizer.schedule": "capped_linear",
    "power_iterations": "one_per_call",
    "sampling": "epochs",
    "precision": "bfloat16",
    "version": 3,
}
WITHIN_FIELDS = {path for path in CHANGES if path.startswith(("protocol.measures.", "latent."))}


def leaves(model, prefix=""):
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def changed(path, value):
    fields = json.loads(json.dumps(LITERAL))
    *parents, last = path.split(".")
    target = fields
    for parent in parents:
        target = target[parent]
    target[last] = value
    return TrialSpec.model_validate(fields)


def test_the_changes_below_cover_every_field_of_a_trial():
    assert set(leaves(TrialSpec)) == set(CHANGES) - WITHIN_FIELDS


@pytest.mark.parametrize(("path", "value"), CHANGES.items(), ids=CHANGES)
def test_every_field_is_part_of_the_identity(path, value):
    assert changed(path, value).trial_id != spec().trial_id


def test_a_staircase_has_an_identity_of_its_own_and_a_named_schedule_keeps_its():
    stairs = {"factor": 0.9, "every": 10_000, "counted": "updates"}
    ids = {changed("optimizer.schedule", stairs | change).trial_id for change in ({}, {"counted": "steps"})}
    assert len({*ids, spec().trial_id}) == 3
    assert spec().model_dump(mode="json")["optimizer"]["schedule"] == "constant"


def test_all_single_changes_have_distinct_ids():
    ids = {changed(path, value).trial_id for path, value in CHANGES.items()}
    assert len(ids) == len(CHANGES)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("steps", 0),
        ("steps", -5),
        ("steps", 1.5),
        ("steps", "1500"),
        ("steps", True),
        ("batch_size", 0),
        ("seed", -1),
        ("seed", 2**31),
        ("latent.dim", 0),
        ("latent.distribution", "cauchy"),
        ("optimizer.lr", 0.0),
        ("optimizer.lr", -1e-4),
        ("optimizer.lr", math.inf),
        ("optimizer.lr", math.nan),
        ("optimizer.lr", "2e-4"),
        ("optimizer.betas", [0.5]),
        ("optimizer.betas", [0.5, 1.0]),
        ("optimizer.betas", [-0.1, 0.9]),
        ("optimizer.player_lr", {"generator": 0}),
        ("optimizer.nesterov", {"generator": 1.0}),
        ("protocol.measures.modes.averaged", 0),
        ("protocol.measures", {}),
        ("protocol.measures.modes.n_fake", 0),
        ("protocol.measures.modes.n_fakes", 100),
        ("protocol.measures.modes.codec", "webp"),
        ("protocol.measures", {"kl": {"metric": "modes", "n_fake": 10}}),
        ("protocol.measures", {"modes-10": {"metric": "modes", "n_fake": 10}}),
        ("protocol.draws", 0),
        ("precision", "float16"),
        ("batchsize", 64),
    ],
)
def test_invalid_values_are_refused(path, value):
    with pytest.raises(ValidationError):
        changed(path, value)


def test_a_trial_is_immutable():
    with pytest.raises(ValidationError, match="frozen"):
        spec().steps = 3


def test_the_name_contains_method_network_seed_and_the_start_of_the_id():
    assert spec().name == f"ssgan-mlp-seed0-{spec().trial_id[:6]}"


@pytest.mark.parametrize(
    ("steps", "evaluations", "expected"),
    [(10, 1, (10,)), (10, 4, (2, 5, 8, 10)), (3, 3, (1, 2, 3)), (100, 3, (33, 67, 100))],
)
def test_evaluations_are_evenly_spaced_and_end_with_the_training(steps, evaluations, expected):
    protocol = {**LITERAL["protocol"], "evaluations": evaluations}
    assert spec(steps=steps, protocol=protocol).evaluation_steps == expected
