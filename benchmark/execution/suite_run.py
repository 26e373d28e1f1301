"""One `run` from the plan to the report."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from rich.console import Console

from benchmark.config.suite import RunnerName, Suite
from benchmark.core import registry
from benchmark.core.errors import ResultsNotStored, UserError
from benchmark.core.memory import gc_disabled
from benchmark.core.spec import TrialSpec
from benchmark.data.prepared import open_prepared
from benchmark.data.sampler import ImageSampler
from benchmark.execution.live_view import LiveView, trial_lines
from benchmark.execution.ray import cluster, scratch
from benchmark.execution.remote_storage import RemoteFiles, RemoteSync
from benchmark.execution.result_sink import ResultSink
from benchmark.execution.runners import runner
from benchmark.execution.signals import StopSignal
from benchmark.execution.work_sharing import WorkSharing
from benchmark.planning.plan import Plan, make_plan
from benchmark.report import render as report
from benchmark.store.claims import Claims
from benchmark.store.record_store import RecordStore
from benchmark.store.records import TrialRecord
from benchmark.store.workspace import Workspace, require_writable
from benchmark.tracking.mirror import MLflowMirror
from benchmark.trials.job import Job
from benchmark.trials.make_jobs import make_jobs
from benchmark.trials.runner import SHEET
from benchmark.trials.samples import sample_grid


@dataclass(frozen=True)
class SuiteRun:
    """A suite, and where its data, results and report stand.

    `address`: of the Ray cluster to join, or None for one of this machine. `storage`: a place that all machines reach.
    """

    suite: Suite
    workspace: Workspace
    data_dir: Path
    report_dir: Path
    console: Console
    address: str | None = None
    storage: RemoteFiles | None = None

    @gc_disabled()
    def plan(self) -> Plan:
        """What is done and what is missing. Trains and writes nothing."""
        return make_plan(self.suite, self.workspace, self.data_dir)

    def run(self, runner_name: RunnerName, plan: Plan) -> dict[str, TrialRecord]:
        """Train what is missing, keep every result, mirror it, and return all records of the suite.

        Raises UserError, before anything is started or written, when data is not prepared, the runner is not
        installed or the workspace cannot be written to; Unwritten, in the end, when a result could not be stored.
        """
        self._check(runner_name, plan)
        with self._mirrored(runner_name) as mirror:
            keeper = self._train(runner_name, plan, mirror)
        if keeper.unstored:
            raise ResultsNotStored(keeper.told())
        return self.records()

    def run_and_render(self, runner_name: RunnerName, plan: Plan) -> tuple[dict[str, TrialRecord], Path]:
        """`run`, then `render`; the report is mirrored too. Raises ResultsNotStored if the report cannot be written."""
        self._check(runner_name, plan)
        with self._mirrored(runner_name) as mirror:
            keeper = self._train(runner_name, plan, mirror)
            records, problems = self.shown_records() | keeper.unstored, [keeper.told()]
            page = None
            try:
                page = self.render(records)
            except OSError as error:
                problems.append(
                    f"the report could not be written to {self.report_dir}: {error.strerror or error}. `report` renders"
                    " it from what is stored"
                )
            if mirror and page:
                mirror.submit_report(page.parent)
        if page is None or keeper.unstored:
            raise ResultsNotStored("\n".join(filter(None, problems)))
        return records, page

    def pull(self) -> None:
        """Take over the records of the suite that the storage has and the workspace lacks."""
        if depot := self._depot:
            require_writable(self.workspace.root, "--workspace")
            if count := depot.pull(self.suite.specs):
                self._say(f"{count} records taken over from {depot.storage.uri}")

    @property
    def _depot(self) -> RemoteSync | None:
        return RemoteSync(self.storage, self.workspace) if self.storage else None

    def _check(self, runner_name: RunnerName, plan: Plan) -> None:
        if plan.missing.message:
            raise UserError(plan.missing.message)
        if runner_name != "ray" and (self.address or self.storage):
            raise UserError("--runner inprocess: trains in this process only; without --address and --storage")
        if runner_name == "ray" and plan.todo and find_spec("ray") is None:
            raise UserError("--runner ray: Ray is not installed; pip install 'ray[tune]', or use --runner inprocess")
        require_writable(self.workspace.root, "--workspace")
        require_writable(self.report_dir, "--report-dir")

    @contextmanager
    def _mirrored(self, runner_name: RunnerName) -> Iterator[MLflowMirror | None]:
        """A mirror that is waited for at the end; none for the in-process runner: it imports neither Ray nor MLflow."""
        mirror = MLflowMirror(self.suite, self.workspace) if runner_name == "ray" else None
        try:
            yield mirror
        finally:
            if mirror:
                mirror.close()
        self._tell_of(mirror)

    def _train(self, runner_name: RunnerName, plan: Plan, mirror: MLflowMirror | None) -> ResultSink:
        with self._joined() if plan.todo else nullcontext():
            return self._train_there(runner_name, plan, mirror)

    @contextmanager
    def _joined(self) -> Iterator[None]:
        """In the cluster of `address`, whose nodes see the workspace or reach the storage. A refusal leaves nothing."""
        new = not self.workspace.root.exists()
        self.workspace.create()
        try:
            with cluster.connect(self.address, self.suite.resources, None if self.storage else self.workspace.root):
                new = False
                yield
        finally:
            if new:
                with suppress(OSError):
                    self.workspace.root.rmdir()

    def _train_there(self, runner_name: RunnerName, plan: Plan, mirror: MLflowMirror | None) -> ResultSink:
        self.workspace.create()
        store, claims = RecordStore(self.workspace.results), Claims(self.workspace.claims)
        view = LiveView(trial_lines(self.suite, plan.todo), self.console)
        keeper = ResultSink(store, mirror, view, self.workspace.checkpoints, claims, self._say, self._depot)
        scratch.sweep(self.workspace.ray)
        keeper.forget(trial_id for trial_id, record in plan.summaries.items() if record.status != "failed")
        if mirror:
            mirror.sync(self._records_to_mirror())  # verdicts are over all seeds, also those of earlier runs
        if plan.todo:
            jobs = self._jobs(plan.todo.values())
            shared = WorkSharing(jobs, claims, store, plan.record_versions, keeper.done_elsewhere, self._say)
            shipped = keeper.depot.ship(jobs) if keeper.depot else None
            chosen = runner(runner_name, self.workspace.ray, self.suite.resources.retries, shipped)
            stop = StopSignal(self._say)
            with keeper.view.shown(), claims.heartbeating(), keeper.settled():
                chosen.run(shared.own(), keeper, stop)
                for left in shared.others(keeper.settle):
                    chosen.run(left, keeper, stop)
        else:
            claims.remove_dead()
        if keeper.depot:
            try:
                keeper.depot.push(self.suite.specs)
            except OSError as error:
                where = keeper.depot.storage.uri
                self._say(f"{where} lacks results ({str(error).splitlines()[0]}): the next run brings them")
        if mirror:
            mirror.sync(self._records_to_mirror())
        return keeper

    def records(self) -> dict[str, TrialRecord]:
        """All records of the suite that exist by now."""
        return RecordStore(self.workspace.results).read_many(self.suite.specs)

    def _records_to_mirror(self) -> Iterable[TrialRecord]:
        """All of them without their pictures, which the mirror reads where it lacks them: thousands fill the memory."""
        return RecordStore(self.workspace.results).read_without_samples(self.suite.specs).values()

    @gc_disabled()
    def shown_records(self) -> dict[str, TrialRecord]:
        """The same for a report, which shows one picture of each cell: those of the other trials are not read."""
        store = RecordStore(self.workspace.results)
        records = store.read_without_samples(self.suite.specs)
        for cell in self.suite.cells:
            for trial_id in (spec.trial_id for spec in cell.specs if spec.trial_id in records):
                whole = store.read(trial_id)
                if whole and whole.samples_png:
                    records[trial_id] = whole
                    break
        return records

    def render(self, records: dict[str, TrialRecord]) -> Path:
        """Write the report from what is stored."""
        require_writable(self.report_dir, "--report-dir")
        return report.render(self.suite, records, self.report_dir, self._real_samples())

    def _jobs(self, specs: Iterable[TrialSpec]) -> list[Job]:
        """What every trial gets."""
        with_gpu = cluster.cluster_has_gpus() if self.address else None
        return make_jobs(
            specs,
            workspace=self.workspace,
            data_dir=self.data_dir,
            resources=self.suite.resources,
            with_gpu=with_gpu,
        )

    def _real_samples(self) -> dict[str, bytes]:
        """A contact sheet of real images for every dataset of the suite that is prepared here."""
        sheets = {}
        for name in dict.fromkeys(spec.dataset for spec in self.suite.specs.values()):
            dataset = registry.datasets[name]
            if dataset.is_prepared(self.workspace.data):
                arrays = open_prepared(dataset.prepared_dir(self.workspace.data)).train
                images = ImageSampler(arrays.images, dataset.stacked, torch.device("cpu"))
                sheets[name] = sample_grid(images.draw(SHEET, torch.Generator().manual_seed(0)).images)
        return sheets

    def _tell_of(self, mirror: MLflowMirror | None) -> None:
        if mirror is None:
            self._say("MLflow: not mirrored by the in-process runner; the next run with --runner ray does it")
        elif mirror.last_error:
            self._say(f"MLflow mirror incomplete: {mirror.last_error}; the next run catches up")
        else:
            self._say(f"MLflow: {mirror.ui_hint}")

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
