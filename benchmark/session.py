"""One `run` from the plan to the report."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from rich.console import Console

from benchmark import plugins, ray_cluster, report
from benchmark.checkpoint import Checkpoints
from benchmark.data.base import open_prepared
from benchmark.data.images import Images
from benchmark.errors import UserError
from benchmark.jobs import make_jobs
from benchmark.plan import Plan, make_plan
from benchmark.schedule import Listener, runner
from benchmark.spec import TrialSpec
from benchmark.stopping import Stopping
from benchmark.storage import Depot, Storage
from benchmark.store import Store, TrialRecord
from benchmark.suite import RunnerName, Suite
from benchmark.tracking import Mirror
from benchmark.trial import SHEET, Job, Progress, contact_sheet
from benchmark.view import View, lines_of
from benchmark.workspace import Workspace, require_writable


@dataclass(frozen=True)
class Session:
    """A suite, and where its data, results and report stand.

    `address`: of the Ray cluster to join, or None for one of this machine. `storage`: a place that all machines reach.
    """

    suite: Suite
    workspace: Workspace
    data_dir: Path
    report_dir: Path
    console: Console
    address: str | None = None
    storage: Storage | None = None

    def plan(self) -> Plan:
        """What is done and what is missing. Trains and writes nothing."""
        return make_plan(self.suite, self.workspace, self.data_dir)

    def run(self, runner_name: RunnerName, plan: Plan) -> dict[str, TrialRecord]:
        """Train what is missing, keep every result, mirror it, and return all records of the suite.

        Raises UserError, before anything is started or written, when data is not prepared, the runner is not
        installed or the workspace cannot be written to.
        """
        self._check(runner_name, plan)
        with self._mirrored(runner_name) as mirror:
            return self._train(runner_name, plan, mirror)

    def run_and_render(self, runner_name: RunnerName, plan: Plan) -> tuple[dict[str, TrialRecord], Path]:
        """`run`, then `render`; the report is mirrored too."""
        self._check(runner_name, plan)
        with self._mirrored(runner_name) as mirror:
            records = self._train(runner_name, plan, mirror)
            page = self.render(records)
            if mirror:
                mirror.report(page.parent)
            return records, page

    def pull(self) -> None:
        """Take over the records of the suite that the storage has and the workspace lacks."""
        if depot := self._depot:
            require_writable(self.workspace.root, "--workspace")
            if count := depot.pull(self.suite.specs):
                self._say(f"{count} records taken over from {depot.storage.uri}")

    @property
    def _depot(self) -> Depot | None:
        return Depot(self.storage, self.workspace) if self.storage else None

    def _check(self, runner_name: RunnerName, plan: Plan) -> None:
        if plan.missing.told:
            raise UserError(plan.missing.told)
        if runner_name != "ray" and (self.address or self.storage):
            raise UserError("--runner inprocess: trains in this process only; without --address and --storage")
        if runner_name == "ray" and plan.todo and find_spec("ray") is None:
            raise UserError("--runner ray: Ray is not installed; pip install 'ray[tune]', or use --runner inprocess")
        require_writable(self.workspace.root, "--workspace")
        require_writable(self.report_dir, "--report-dir")

    @contextmanager
    def _mirrored(self, runner_name: RunnerName) -> Iterator[Mirror | None]:
        """A mirror that is waited for at the end; none for the in-process runner: it imports neither Ray nor MLflow."""
        mirror = Mirror(self.suite, self.workspace) if runner_name == "ray" else None
        try:
            yield mirror
        finally:
            if mirror:
                mirror.close()
        self._tell_of(mirror)

    def _train(self, runner_name: RunnerName, plan: Plan, mirror: Mirror | None) -> dict[str, TrialRecord]:
        with self._joined() if plan.todo else nullcontext():
            return self._train_there(runner_name, plan, mirror)

    @contextmanager
    def _joined(self) -> Iterator[None]:
        """In the cluster of `address`, whose nodes see the workspace or reach the storage. A refusal leaves nothing."""
        new = not self.workspace.root.exists()
        self.workspace.create()
        try:
            with ray_cluster.joined(self.address, self.suite.resources, None if self.storage else self.workspace.root):
                new = False
                yield
        finally:
            if new:
                with suppress(OSError):
                    self.workspace.root.rmdir()

    def _train_there(self, runner_name: RunnerName, plan: Plan, mirror: Mirror | None) -> dict[str, TrialRecord]:
        self.workspace.create()
        store, view = Store(self.workspace.results), View(lines_of(self.suite, plan.todo), self.console)
        keeper = Keeper(store, mirror, view, self.workspace.checkpoints, self._depot)
        if mirror:
            mirror.sync(self.records().values())  # verdicts are over all seeds, also those of earlier runs
        if plan.todo:
            jobs = self._jobs(plan.todo.values())
            shipped = keeper.depot.ship(jobs) if keeper.depot else None
            chosen = runner(runner_name, self.workspace.ray, self.suite.resources.retries, shipped)
            with keeper.view.shown():
                chosen.run(jobs, keeper, Stopping(self._say))
        records = self.records()
        if keeper.depot:
            keeper.depot.push(records.values())
        if mirror:
            mirror.sync(records.values())
        return records

    def records(self) -> dict[str, TrialRecord]:
        """All records of the suite that exist by now."""
        return Store(self.workspace.results).find(self.suite.specs)

    def shown_records(self) -> dict[str, TrialRecord]:
        """The same for a report, which shows one picture of each cell: those of the other trials are not read."""
        store = Store(self.workspace.results)
        records = store.without_pictures(self.suite.specs)
        for cell in self.suite.cells:
            for trial_id in (spec.trial_id for spec in cell.specs if spec.trial_id in records):
                whole = store.get(trial_id)
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
        with_gpu = ray_cluster.gpus_there() if self.address else None
        each = self.suite.resources
        return make_jobs(specs, self.workspace, self.data_dir, each, self._say, with_gpu=with_gpu)

    def _real_samples(self) -> dict[str, bytes]:
        """A contact sheet of real images for every dataset of the suite that is prepared here."""
        sheets = {}
        for name in dict.fromkeys(spec.dataset for spec in self.suite.specs.values()):
            dataset = plugins.datasets[name]
            if dataset.is_prepared(self.workspace.data):
                arrays = open_prepared(dataset.folder(self.workspace.data)).train
                images = Images(arrays.images, dataset.stacked, torch.device("cpu"))
                sheets[name] = contact_sheet(images.draw(SHEET, torch.Generator().manual_seed(0)).images)
        return sheets

    def _tell_of(self, mirror: Mirror | None) -> None:
        if mirror is None:
            self._say("MLflow: not mirrored by the in-process runner; the next run with --runner ray does it")
        elif mirror.problem:
            self._say(f"MLflow mirror incomplete: {mirror.problem}; the next run catches up")
        else:
            self._say(f"MLflow: {mirror.ui_command}" + (f"\n  then open {mirror.page}" if mirror.page else ""))

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


@dataclass
class Keeper(Listener):
    """Keeps every result the moment it arrives, then mirrors and shows it."""

    store: Store
    mirror: Mirror | None
    view: View
    checkpoints: Path | None = None
    depot: Depot | None = None

    def started(self, trial_id: str) -> None:
        """Show it."""
        self.view.started(trial_id)

    def progressed(self, progress: Progress) -> None:
        """Show it."""
        self.view.progressed(progress)

    def failed(self, trial_id: str, reason: str) -> None:
        """Show it."""
        self.view.failed(trial_id, reason)

    def finished(self, record: TrialRecord) -> None:
        """Store first: the record is the truth. A storage that does not answer gets it at the end."""
        self.store.put(record)
        if self.depot:
            with suppress(OSError):
                self.depot.keep(record)
        if self.checkpoints and record.status != "failed":
            Checkpoints(self.checkpoints, record.trial_id).forget()
        if self.mirror:
            self.mirror.submit(record)
        self.view.finished(record)
