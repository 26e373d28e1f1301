"""The measurement of training steps: both sides compute the same losses, and all figures are reported."""

import json
import time

import pytest
import torch

from baselines.common.method import EagerStepInputs
from baselines.networks.layers.spectral_norm import PowerMethod
from perf import plain, roofline, step
from perf.roofline import Work
from tests.support.recorded_graph import with_graphs

PLAYERS = [(case, player) for case in step.CASES for player in step.CASES[case].plain().players]


@pytest.fixture
def _double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def sides(name):
    """Both sides of a case, with narrow networks and equal weights.

    Spectral norms have converged, so that the number of discriminator calls makes no difference.
    """
    case = step.CASES[name]
    method = step.make_trainer(case, "float32", batch=8, width=2).method.double()
    images = torch.rand(8, *case.shape)
    if name == "ssgan_resnet32":
        with torch.no_grad():
            PowerMethod(method.discriminator).iterate(500)
    gan = case.plain(2).double()
    plain.copy_weights(method, gan)
    return method, gan, images * 2 - 1 if name == "ssgan_resnet32" else images


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize(("name", "player"), PLAYERS)
def test_both_sides_have_the_same_losses_and_gradients(name, player):
    method, gan, real = sides(name)
    expected_losses = gan.loss(player, real, torch.Generator().manual_seed(1))
    losses = method.loss(player, EagerStepInputs(real, 0.0, torch.Generator().manual_seed(1)))
    assert losses.keys() == expected_losses.keys()
    for term in losses:
        torch.testing.assert_close(losses[term], expected_losses[term], rtol=1e-9, atol=1e-11)
    pairs = [
        pair
        for module, other in zip(method.player_modules(player), gan.modules_of(player), strict=True)
        for pair in zip(module.parameters(), other.parameters(), strict=True)
    ]
    gradients = torch.autograd.grad(sum(losses.values()), [ours for ours, _ in pairs])
    expected = torch.autograd.grad(sum(expected_losses.values()), [plain for _, plain in pairs])
    for left, right in zip(gradients, expected, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-7, atol=1e-9)


def test_speed_ups_are_taken_within_a_turn():
    seconds = {step.PLAIN: [4.0, 6.0, 2.0], "float32": [2.0, 1.0, 2.0]}
    work = {step.PLAIN: Work(8e9, 1e9), "float32": Work(1e9, 4e9)}
    summary = step.summarise(seconds, work)["float32"]
    assert (summary.pop("seconds"), summary.pop("speed_up")) == ([1, 2, 2], [1, 2, 6])
    assert summary == {"gflop": 1, "gflop_per_second": 0.5, "gbyte": 4, "gbyte_per_second": 2}


def test_the_plain_loop_needs_more_operations_for_the_same_step():
    counts = step.count_all_work(few_sides())
    assert counts["float32"].operations == counts["bfloat16"].operations
    assert counts[step.PLAIN].operations > 1.2 * counts["float32"].operations


def test_bytes_count_each_operand_once():
    x, other = torch.ones(10), torch.ones(1).expand(10)
    assert roofline.count_work(lambda: x.view(5, 2)).bytes == 0, "a view moves nothing"
    assert roofline.count_work(lambda: x + x).bytes == 80
    assert roofline.count_work(lambda: x + other).bytes == 84
    assert roofline.count_work(lambda: x.mul_(1.0)).bytes == 40
    assert roofline.count_work(lambda: torch.empty(10)).bytes == 0


def test_seeds_trained_as_one_model_share_the_time_of_a_step():
    case = step.CASES["stacked_mnist_k4"]
    specs = step.build_specs(case, ["float32"], batch=4, width=None, together=3)
    sides = {name: spec.build() for name, spec in specs.items()}
    assert {name: side.seeds for name, side in sides.items()} == {step.PLAIN: 1, "float32": 1, "float32, 3 seeds": 3}
    counts = step.count_all_work(sides)
    assert counts["float32, 3 seeds"] == counts["float32"]
    slow = {name: step.Side(lambda: time.sleep(0.02), side.seeds) for name, side in sides.items()}
    seconds = step.measure(slow, turns=1, steps=1)
    assert seconds["float32, 3 seeds"][0] < 0.7 * seconds["float32"][0]
    assert step.precision_of("float32, 3 seeds") == "float32"


def trainer_with_graphs():
    """A trainer as a side with graphs has it on a GPU."""
    return with_graphs(step.make_trainer(step.CASES["ssgan_resnet32"], "float32", batch=4, width=2))


def test_graphs_are_captured_before_the_measurement():
    trainer = trainer_with_graphs()
    side = step.our_side([trainer])
    replays = trainer.graphs.backend.replays
    assert set(trainer.graphs.graphs) == {"discriminator", "generator"}
    side.step()
    assert trainer.graphs.backend.replays == replays + 2


def test_a_side_whose_updates_cannot_be_captured_is_an_error():
    trainer = trainer_with_graphs()
    loss = trainer.method.loss
    trainer.method.loss = lambda player, inputs: {k: v + inputs.progress for k, v in loss(player, inputs).items()}
    with pytest.raises(RuntimeError, match=r"could not be captured as graphs.*`progress`"):
        step.our_side([trainer])


def test_a_replay_has_the_work_and_the_limit_of_the_eager_step():
    sides = few_sides()
    work = step.count_all_work({**sides, "bfloat16, graphs": step.Side(lambda: None)})
    assert work["bfloat16, graphs"] == work["bfloat16"] > (0, 0)
    assert [step.precision_of(side) for side in work] == ["float32", "float32", "bfloat16", "bfloat16"]


def few_sides():
    specs = step.build_specs(step.CASES["ssgan_resnet32"], ["float32", "bfloat16"], batch=4, width=2)
    return {name: spec.build() for name, spec in specs.items()}


def test_a_side_in_subprocesses_does_the_same_and_passes_errors_on():
    case = step.CASES["ssgan_resnet32"]
    spec = step.build_specs(case, ["float32"], batch=4, width=2)["float32"]
    side = step.SubprocessSide(spec, threads=1, processes=2)
    assert side.seeds == 2
    assert side._processes[0].submit(torch.get_num_threads).result() == 1
    assert side.count_work() == spec.build().count_work()
    assert side.time(2, torch.device("cpu")) > 0
    assert sum(side.profile(torch.device("cpu")).values()) == pytest.approx(1)
    with pytest.raises(ValueError, match="batch"):
        step.SubprocessSide(spec._replace(batch=-1), threads=1)


@pytest.mark.parametrize(
    ("operation", "group"),
    [
        ("aten::convolution_backward", "convolutions"),
        ("aten::native_batch_norm_backward", "batch norm"),
        ("aten::upsample_bilinear2d_backward", "pooling and interpolation"),
        ("aten::copy_", "copies, padding, rotations"),
        ("aten::leaky_relu", roofline.OTHER),
    ],
)
def test_operations_have_their_groups(operation, group):
    assert roofline.group_of(operation) == group


@pytest.mark.parametrize(
    "choice, precisions",
    [([], {"float32", "bfloat16"}), (["--processes", "1", "--precisions", "bfloat16"], {"bfloat16"})],
    ids=["one process", "a process for each side"],
)
def test_main_prints_tables_and_writes_all_numbers(choice, precisions, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(step, "COPY_MIB", 1)
    quick = ["--turns", "2", "--batch", "4", "--width", "2", "--threads", "1", "--limit-size", "32"]
    threads = torch.get_num_threads()
    result = step.main(["--case", "ssgan_resnet32", *quick, *choice, "--json", str(tmp_path / "out.json")])
    assert json.loads((tmp_path / "out.json").read_text()) == json.loads(json.dumps(result))
    sides = {step.PLAIN, *precisions}
    assert set(result["seconds"]) == set(result["profiles"]) == set(result["summary"]) == sides
    assert all(len(values) == 2 and min(values) > 0 for values in result["seconds"].values())
    assert all(sum(shares.values()) == pytest.approx(1) for shares in result["profiles"].values())
    assert set(result["limits_gflop_per_second"]) == {"float32", "bfloat16"}
    assert result["copy_gbyte_per_second"] > 0
    assert {"settings", "environment", "load"} <= set(result)
    output = capsys.readouterr().out
    assert all(word in output for word in (*sides, "convolutions", "limit"))
    assert torch.get_num_threads() == threads
