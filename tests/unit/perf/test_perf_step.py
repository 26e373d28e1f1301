"""The measurement of training steps: both sides compute the same, and what it found is told in full."""

import json
import time

import pytest
import torch

from baselines.common.method import EagerStepInputs
from benchmark.training.trainer import Trainer
from perf import plain, roofline, step
from perf.roofline import Work
from tests.support.recorded_graph import RecordedGraphs

PLAYERS = [(case, player) for case in step.CASES for player in step.CASES[case].plain().players]


@pytest.fixture
def _double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def sides(name):
    """The two of a case with narrow nets and equal weights; spectral norms have converged, so that calls count for
    nothing."""
    case = step.CASES[name]
    method = step.trainer(case, "float32", batch=8, width=2).method.double()
    images = torch.rand(8, *case.shape)
    if name == "ssgan_resnet32":
        with torch.no_grad():
            for _ in range(500):
                method.discriminator(images)
    theirs = case.plain(2).double()
    plain.same_weights(theirs, method)
    return method, theirs, images * 2 - 1 if name == "ssgan_resnet32" else images


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize(("name", "player"), PLAYERS)
def test_both_sides_have_the_same_losses_and_gradients(name, player):
    method, theirs, real = sides(name)
    of_theirs = theirs.loss(player, real, torch.Generator().manual_seed(1))
    of_ours = method.loss(player, EagerStepInputs(real, 0.0, torch.Generator().manual_seed(1)))
    assert of_ours.keys() == of_theirs.keys()
    for term in of_ours:
        torch.testing.assert_close(of_ours[term], of_theirs[term], rtol=1e-9, atol=1e-11)
    pairs = [
        pair
        for module, other in zip(method.player_modules(player), theirs.moved_by(player), strict=True)
        for pair in zip(module.parameters(), other.parameters(), strict=True)
    ]
    found = torch.autograd.grad(sum(of_ours.values()), [ours for ours, _ in pairs])
    expected = torch.autograd.grad(sum(of_theirs.values()), [other for _, other in pairs])
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


def test_ratios_are_taken_within_a_turn():
    seconds = {step.PLAIN: [4.0, 6.0, 2.0], "float32": [2.0, 1.0, 2.0]}
    work = {step.PLAIN: Work(8e9, 1e9), "float32": Work(1e9, 4e9)}
    found = step.summary(seconds, work)["float32"]
    assert (found.pop("seconds"), found.pop("times")) == ([1, 2, 2], [1, 2, 6])
    assert found == {"gflop": 1, "gflop_per_second": 0.5, "gbyte": 4, "gbyte_per_second": 2}


def test_the_plain_loop_needs_more_operations_for_the_same_step():
    counts = step.counts(few_sides())
    assert counts["float32"].operations == counts["bfloat16"].operations
    assert counts[step.PLAIN].operations > 1.2 * counts["float32"].operations


def test_bytes_are_those_of_all_operands_once():
    x, other = torch.ones(10), torch.ones(1).expand(10)
    assert roofline.counted(lambda: x.view(5, 2)).bytes == 0, "a view moves nothing"
    assert roofline.counted(lambda: x + x).bytes == 80
    assert roofline.counted(lambda: x + other).bytes == 84
    assert roofline.counted(lambda: x.mul_(1.0)).bytes == 40
    assert roofline.counted(lambda: torch.empty(10)).bytes == 0


def test_seeds_trained_as_one_share_their_step():
    case = step.CASES["stacked_mnist_k4"]
    ways = step.makings(case, ["float32"], batch=4, width=None, together=3)
    sides = {name: way.side() for name, way in ways.items()}
    assert {name: side.seeds for name, side in sides.items()} == {step.PLAIN: 1, "float32": 1, "float32, 3 seeds": 3}
    counts = step.counts(sides)
    assert counts["float32, 3 seeds"] == counts["float32"]
    slow = {name: step.Side(lambda: time.sleep(0.02), side.seeds) for name, side in sides.items()}
    seconds = step.measure(slow, turns=1, steps=1)
    assert seconds["float32, 3 seeds"][0] < 0.7 * seconds["float32"][0]
    assert step.precision_of("float32, 3 seeds") == "float32"


def captured():
    """A trainer such as a GPU has for its sides with graphs."""
    of = step.trainer(step.CASES["ssgan_resnet32"], "float32", batch=4, width=2)
    return Trainer(of.spec, of.method, of.images, of.image_range, of.device, graph_backend=RecordedGraphs)


def test_a_side_with_graphs_has_them_before_it_is_measured():
    trainer = captured()
    side = step.our_side([trainer])
    replays = trainer.graphs.backend.replays
    assert set(trainer.graphs.graphs) == {"discriminator", "generator"}
    side.step()
    assert trainer.graphs.backend.replays == replays + 2


def test_a_side_that_would_be_called_graphs_and_is_none_is_not_measured():
    trainer = captured()
    loss = trainer.method.loss
    trainer.method.loss = lambda player, turn: {k: v + turn.progress for k, v in loss(player, turn).items()}
    with pytest.raises(RuntimeError, match=r"no graphs to be measured.*`progress`"):
        step.our_side([trainer])


def test_a_replay_is_counted_as_the_eager_step_and_held_against_the_same_limit():
    sides = few_sides()
    found = step.counts({**sides, "bfloat16, graphs": step.Side(lambda: None)})
    assert found["bfloat16, graphs"] == found["bfloat16"] > (0, 0)
    assert [step.precision_of(side) for side in found] == ["float32", "float32", "bfloat16", "bfloat16"]


def few_sides():
    ways = step.makings(step.CASES["ssgan_resnet32"], ["float32", "bfloat16"], batch=4, width=2)
    return {name: way.side() for name, way in ways.items()}


def test_a_side_elsewhere_does_the_same_and_tells_what_went_wrong():
    case = step.CASES["ssgan_resnet32"]
    making = step.makings(case, ["float32"], batch=4, width=2)["float32"]
    elsewhere = step.Elsewhere(making, threads=1, processes=2)
    assert elsewhere.seeds == 2
    assert elsewhere._processes[0].submit(torch.get_num_threads).result() == 1
    assert elsewhere.counted() == making.side().counted()
    assert elsewhere.timed(2, torch.device("cpu")) > 0
    assert sum(elsewhere.profiled(torch.device("cpu")).values()) == pytest.approx(1)
    with pytest.raises(ValueError, match="batch"):
        step.Elsewhere(making._replace(batch=-1), threads=1)


@pytest.mark.parametrize(
    ("operation", "group"),
    [
        ("aten::convolution_backward", "convolutions"),
        ("aten::native_batch_norm_backward", "batch norm"),
        ("aten::upsample_bilinear2d_backward", "pooling and interpolation"),
        ("aten::copy_", "copies, padding, turns"),
        ("aten::leaky_relu", roofline.OTHER),
    ],
)
def test_operations_have_their_groups(operation, group):
    assert roofline.group_of(operation) == group


@pytest.mark.parametrize("processes", [[], ["--processes", "1"]])
def test_it_prints_tables_and_writes_all_numbers(processes, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(step, "COPIED", 1)
    quick = ["--turns", "2", "--batch", "4", "--width", "2", "--threads", "1", "--limit-size", "32"]
    threads = torch.get_num_threads()
    result = step.main(["--case", "ssgan_resnet32", *quick, *processes, "--json", str(tmp_path / "out.json")])
    assert json.loads((tmp_path / "out.json").read_text()) == json.loads(json.dumps(result))
    sides = {step.PLAIN, "float32", "bfloat16"}
    assert set(result["seconds"]) == set(result["profiles"]) == set(result["summary"]) == sides
    assert all(len(values) == 2 and min(values) > 0 for values in result["seconds"].values())
    assert all(sum(shares.values()) == pytest.approx(1) for shares in result["profiles"].values())
    assert set(result["limits_gflop_per_second"]) == {"float32", "bfloat16"}
    assert result["copy_gbyte_per_second"] > 0
    assert {"settings", "environment", "load"} <= set(result)
    shown = capsys.readouterr().out
    assert all(word in shown for word in (*sides, "convolutions", "limit"))
    assert torch.get_num_threads() == threads
