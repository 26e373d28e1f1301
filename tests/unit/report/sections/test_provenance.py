"""tests.unit.report.test_provenance"""

from dataclasses import replace
from pathlib import Path

from benchmark.analysis.leaderboard import leaderboard_rows, rows_by_table
from benchmark.core.spec import EMAConfig, StepDecay
from benchmark.report.sections import provenance
from benchmark.store.records import Event


def test_what_all_rows_share_is_stated_once(suite):
    shared, table = provenance.recipes(rows_by_table(suite, leaderboard_rows(suite, {})))
    assert "network mlp (generator\\_width=256, discriminator\\_width=256, encoder\\_width=256, spectral" in shared
    assert "samples from the generator" in shared
    assert "optimiser Adam, lr 0.0002, β 0.5 and 0.9" in shared
    header, _, *lines = table.splitlines()
    assert header == "| Row | Method | Options | Steps |"
    assert lines[0] == "| Checked: GAN | gan | game=non\\_saturating, lambda\\_gp=0.0 | 1,000 |"
    assert len(lines) == len(suite.cells)


def test_schedule_and_average_are_stated(suite):
    (first, *_) = leaderboard_rows(suite, {})
    spec = first.spec
    changed = spec.model_copy(
        update={
            "optimizer": spec.optimizer.model_copy(update={"schedule": "capped_linear"}),
            "average": EMAConfig(decay=0.9999, start=10_000),
        }
    )
    recipe = provenance._recipe(changed)
    assert recipe["Optimiser"].endswith("β 0.5 and 0.9, capped\\_linear schedule")
    assert recipe["Samples from"] == "its moving average, decay 0.9999 from step 10,000"


def test_a_staircase_says_what_it_counts(suite):
    spec = leaderboard_rows(suite, {})[0].spec
    for counted, words in (("updates", "10,000 updates of all players"), ("steps", "10,000 steps")):
        schedule = StepDecay(factor=0.9, every=10_000, counted=counted)
        changed = spec.model_copy(update={"optimizer": spec.optimizer.model_copy(update={"schedule": schedule})})
        assert provenance._recipe(changed)["Optimiser"].endswith(f"β 0.5 and 0.9, × 0.9 every {words}")


def test_players_that_adam_does_not_train_are_named(suite):
    spec = leaderboard_rows(suite, {})[0].spec
    optimizer = spec.optimizer.model_copy(update={"nesterov": {"classifier": 0.9}})
    recipe = provenance._recipe(spec.model_copy(update={"optimizer": optimizer}))
    assert recipe["Optimiser"].endswith("β 0.5 and 0.9; classifier: SGD, Nesterov momentum 0.9")


def test_a_single_row_states_its_whole_recipe(small_suite):
    suite = small_suite("GAN")
    (table,) = provenance.recipes(rows_by_table(suite, leaderboard_rows(suite, {})))
    assert "| GAN | gan | game=non\\_saturating, lambda\\_gp=0.0 | stacked\\_digits |" in table


def test_records_that_disagree_are_listed_each(suite, make_record, specs_of):
    specs = specs_of(suite, "Own", "GAN")
    machines = ["A CPU", "A CPU", "B | CPU"]
    records = {
        spec.trial_id: make_record(spec, environment={"cpu": cpu, "device": "cpu"}, facts={"other_fact": 2.5})
        for spec, cpu in zip(specs, machines, strict=True)
    }
    (table,) = provenance.environment(leaderboard_rows(suite, records))
    assert "| cpu | A CPU (2 trials)<br>B \\| CPU (1 trial) |" in table
    assert "| device | cpu |" in table
    assert "train 1348 x 1 x 8 x 8, digits 0123456789ab…" in table
    assert provenance.metric_notes(leaderboard_rows(suite, records))[-1] == "- **Evaluation**: other fact 2.5."


def test_the_commands_are_safe_to_paste(suite):
    trial = suite.cells[0].specs[0].trial_id
    commands = [block.splitlines()[1] for block in provenance.rerun_commands(suite) if block.startswith("`")]
    assert commands == [
        "python -m benchmark run suites/a_suite.yaml --scale paper",
        "python -m benchmark run suites/a_suite.yaml --scale paper --only Checked/GAN",
        f"python -m benchmark reproduce {trial}",
    ]
    odd = replace(suite, path=Path("/folder/a b`$(x).yaml"), scale="```")
    fence, line, end = provenance.rerun_commands(odd)[0].splitlines()
    assert line == "python -m benchmark run 'suites/a b`$(x).yaml' --scale '```'"
    assert fence == "````sh"
    assert end == "````"


def test_the_commands_name_the_suite_file_as_the_user_did(suite):
    """A suite need not lie in suites/; only the folders of an absolute path are left out."""
    own = replace(suite, path=Path("mine/own.yaml"))
    assert "run mine/own.yaml --scale paper\n" in provenance.rerun_commands(own)[0]
    assert "run suites/own.yaml --scale paper\n" in provenance.rerun_commands(replace(own, path=Path("/a/own.yaml")))[0]


def test_events_are_listed_with_their_trials(suite, make_record, specs_of):
    specs = specs_of(suite, "Own", "GAN")
    quiet = {spec.trial_id: make_record(spec) for spec in specs}
    assert provenance.events(leaderboard_rows(suite, quiet)) == []
    went_on, refused = "resumed from a checkpoint", "a checkpoint could not be written: No space | left"
    first = [Event(what=went_on, step=1200, times=2), Event(what=refused, step=300)]
    records = quiet | {specs[0].trial_id: make_record(specs[0], events=first)}
    _, lines = provenance.events(leaderboard_rows(suite, records))
    assert lines.splitlines() == [
        "- resumed from a checkpoint: 1 trial (GAN seed 0, 2 times from step 1,200)",
        "- a checkpoint could not be written: No space \\| left: 1 trial (GAN seed 0, at step 300)",
    ]
    every = {spec.trial_id: make_record(spec, events=[Event(what=went_on, step=5)]) for spec in suite.specs.values()}
    _, line = provenance.events(leaderboard_rows(suite, every))
    assert line.count("at step 5") == provenance.NAMED_TRIALS
    assert f"; {len(every) - provenance.NAMED_TRIALS} more)" in line
