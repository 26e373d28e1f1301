"""One `run` of a suite, from the plan to the report."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from benchmark.analysis.points.tables import RealSamples
from benchmark.config.suite import RunnerName, Suite
from benchmark.core import registry
from benchmark.core.errors import ResultsNotStored, UserError
from benchmark.core.spec import TrialSpec
from benchmark.data.manifest import data_unchanged, manifest_of
from benchmark.data.prepared import open_prepared
from benchmark.data.sampler import ImageSampler
from benchmark.execution.live_view import LiveView, trial_lines
from benchmark.execution.ray import cluster, scratch
from benchmark.execution.remote_storage import RemoteFiles, RemoteSync
from benchmark.execution.result_sink import ResultSink
from benchmark.execution.runners import make_runner
from benchmark.execution.signals import StopSignal
from benchmark.execution.work_sharing import WorkSharing
from benchmark.planning.looks import record_looks, require_judged, with_due_looks, with_recorded_looks
from benchmark.planning.plan import Plan, make_plan
from benchmark.planning.prerequisites import require_room
from benchmark.report import render as report
from benchmark.store.record_store import RecordStore
from benchmark.store.records import TrialRecord
from benchmark.store.trial_claims import TrialClaims
from benchmark.store.workspace import Workspace, require_writable
from benchmark.tracking.mirror import MLflowMirror
from benchmark.trials.job import Job
from benchmark.trials.make_jobs import make_jobs
from benchmark.trials.samples import GRID_IMAGES, sample_grid

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SuiteRun:
    """A suite with the places of its data, results and report.

    The order of a run is `pull` (with a remote storage), `plan`, `run` or `run_and_report`. With `--until-decided`,
    `looks` gives one run after the other.

    Args:
        console: shows the live view.
        address: the Ray cluster to join; None starts one on this machine if it is needed.
        storage: files that all machines of the cluster reach, if they have no shared filesystem.
    """

    suite: Suite
    workspace: Workspace
    data_dir: Path
    report_dir: Path
    console: Console
    address: str | None = None
    storage: RemoteFiles | None = None

    def pull(self) -> None:
        """Copy the suite's records that the remote storage has and the workspace lacks."""
        if self._remote:
            require_writable(self.workspace.root, "--workspace")
            if count := self._remote.pull(self.suite.specs):
                logger.info("%d records taken over from %s", count, self._remote.storage.uri)

    def plan(self) -> Plan:
        """Which trials are done and which are missing. Trains and writes nothing."""
        return make_plan(self.suite, self.workspace, self.data_dir)

    def looks(self, max_seeds: int) -> "Iterator[SuiteRun]":
        """A run of every look at the cells, each with the seeds that undecided cells need; run one before the next.

        Raises UserError at once if no cell could be decided.
        """
        require_judged(self.suite, max_seeds)
        return self._looks(max_seeds)

    def _looks(self, max_seeds: int) -> "Iterator[SuiteRun]":
        due = with_due_looks(self.suite, self.workspace, max_seeds)
        previous = None
        while due != previous:
            yield replace(self, suite=due)
            previous, due = due, with_due_looks(self.suite, self.workspace, max_seeds)

    def as_recorded(self) -> "SuiteRun":
        """The run of the suite with the seeds that earlier looks added to its cells, if there were any."""
        return replace(self, suite=with_recorded_looks(self.suite, self.workspace))

    def run(self, runner_name: RunnerName, plan: Plan) -> dict[str, TrialRecord]:
        """Train the missing trials, store and mirror their records, and return all records of the suite.

        Raises:
            UserError: before anything is started or written, if inputs are missing, the runner is not installed or
                the workspace is not writable.
            ResultsNotStored: at the end, if a record could not be stored.
        """
        self._check(runner_name, plan)
        with self._mirror(runner_name) as mirror:
            sink = self._train(runner_name, plan, mirror)
        if sink.pending:
            raise ResultsNotStored(sink.pending_message())
        return self.records()

    def run_and_report(self, runner_name: RunnerName, plan: Plan) -> tuple[dict[str, TrialRecord], Path]:
        """`run`, then write the report and mirror it. Returns the records and the path of the report's page.

        Raises:
            UserError: as `run` does.
            ResultsNotStored: at the end, if a record or the report could not be written.
        """
        self._check(runner_name, plan)
        page = None
        with self._mirror(runner_name) as mirror:
            sink = self._train(runner_name, plan, mirror)
            records, problems = self.report_records() | sink.pending, [sink.pending_message()]
            try:
                page = self.render(records)
            except OSError as error:
                problems.append(
                    f"the report could not be written to {self.report_dir}: {error.strerror or error}. `report` renders"
                    " it from what is stored"
                )
            if mirror and page:
                mirror.submit_report(page.parent)
        if page is None or sink.pending:
            raise ResultsNotStored("\n".join(filter(None, problems)))
        return records, page

    def records(self) -> dict[str, TrialRecord]:
        """All stored records of the suite, by trial id, except those of other images than are prepared here."""
        return self._on_prepared_images(self._store.read_many(self.suite.specs))

    def report_records(self) -> dict[str, TrialRecord]:
        """The `records` for a report, which shows all samples of points, and the sample grid of one trial a cell."""
        records = self._on_prepared_images(self._store.read_without_samples(self.suite.specs))
        for cell in self.suite.cells:
            for trial_id in (spec.trial_id for spec in cell.specs if spec.trial_id in records):
                record = self._store.read(trial_id)
                if record and (record.samples_png or record.points_npy):
                    records[trial_id] = record
                    if not record.points_npy:
                        break
        return records

    def _on_prepared_images(self, records: dict[str, TrialRecord]) -> dict[str, TrialRecord]:
        """The records that count as results here, as they do in a plan: those of the images that are prepared."""
        names = {record.spec.dataset for record in records.values()}
        manifests = {name: manifest_of(name, self.workspace.data) for name in names}
        counted = {
            trial_id: record
            for trial_id, record in records.items()
            if data_unchanged(record.data, manifests[record.spec.dataset])
        }
        left_out = Counter(record.spec.dataset for trial_id, record in records.items() if trial_id not in counted)
        for name, count in left_out.items():
            logger.warning(
                "%s: %d of the suite's results on %s %s left out, measured on other images than those that are prepared"
                " here",
                registry.datasets[name].prepared_dir(self.workspace.data),
                count,
                name,
                "is" if count == 1 else "are",
            )
        return counted

    def render(self, records: dict[str, TrialRecord]) -> Path:
        """Write the report of these records and return the path of its page."""
        require_writable(self.report_dir, "--report-dir")
        if title := report.replaced_title(self.suite, self.report_dir):
            logger.warning("%s: replaces the report of '%s'; --report-dir keeps both", self.report_dir, title)
        return report.render(self.suite, records, self.report_dir, self._real_samples())

    def prepare_jobs(self, specs: Iterable[TrialSpec]) -> list[Job]:
        """Prepare data and evaluation networks, and return a job for each trial."""
        has_gpu = cluster.cluster_has_gpus() if self.address else None
        return make_jobs(
            specs,
            workspace=self.workspace,
            data_dir=self.data_dir,
            resources=self.suite.resources,
            with_gpu=has_gpu,
        )

    # --- the steps of a run --------------------------------------------------------------------------------

    def _train(self, runner_name: RunnerName, plan: Plan, mirror: MLflowMirror | None) -> ResultSink:
        """Connect, clean up, train, and bring the mirror and the remote storage up to date."""
        with self._connected() if plan.todo else nullcontext():
            self.workspace.create()
            if forgotten := record_looks(self.suite, self.workspace):
                logger.info("cells judged by a fixed list of seeds again, no longer by repeated looks: %d", forgotten)
            claims = TrialClaims(self.workspace.trial_claims)
            sink = ResultSink(
                store=self._store,
                mirror=mirror,
                checkpoints=self.workspace.checkpoints,
                claims=claims,
                remote=self._remote,
            )
            self._clean_up(plan, sink, claims)
            self._mirror_records(mirror)  # verdicts are over all seeds, so earlier records must be there
            if plan.todo:
                self._execute(runner_name, plan, sink, claims)
            self._push()
            self._mirror_records(mirror)
        return sink

    def _check(self, runner_name: RunnerName, plan: Plan) -> None:
        if plan.missing.message:
            raise UserError(plan.missing.message)
        if runner_name != "ray" and (self.address or self.storage):
            raise UserError("--runner inprocess: trains in this process only; without --address and --storage")
        if runner_name == "ray" and plan.todo and find_spec("ray") is None:
            raise UserError("--runner ray: Ray is not installed; pip install 'ray[tune]', or use --runner inprocess")
        if plan.todo and not self.address:
            require_room(self.suite.resources)
        require_writable(self.workspace.root, "--workspace")
        require_writable(self.report_dir, "--report-dir")

    @contextmanager
    def _mirror(self, runner_name: RunnerName) -> Iterator[MLflowMirror | None]:
        """A mirror that is flushed at the end; None for the in-process runner, which imports neither Ray nor MLflow."""
        if runner_name != "ray":
            yield None
            logger.info("MLflow: not mirrored by the in-process runner; the next run with --runner ray does it")
            return
        mirror = MLflowMirror(self.suite, self.workspace)
        try:
            yield mirror
        finally:
            mirror.close()
        if mirror.last_error:
            logger.warning("MLflow mirror incomplete: %s; the next run catches up", mirror.last_error)
        else:
            logger.info("MLflow: %s", mirror.ui_hint)

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Join the cluster at `address`, if there is one. A cluster that refuses leaves no new workspace behind."""
        is_new = not self.workspace.root.exists()
        self.workspace.create()
        shared_folder = None if self.storage else self.workspace.root
        try:
            with cluster.connect(self.address, self.suite.resources, shared_folder):
                is_new = False
                yield
        finally:
            if is_new:
                with suppress(OSError):
                    self.workspace.root.rmdir()

    def _clean_up(self, plan: Plan, sink: ResultSink, claims: TrialClaims) -> None:
        """Remove what killed runs left: files of Ray Tune, claims, and checkpoints of trials that are finished."""
        scratch.sweep(self.workspace.ray)
        claims.remove_dead()
        sink.remove_checkpoints(trial_id for trial_id, record in plan.summaries.items() if record.status != "failed")

    def _mirror_records(self, mirror: MLflowMirror | None) -> None:
        """Submit all records without their sample grids, which would fill the memory; the mirror reads those."""
        if mirror:
            mirror.sync(self._store.read_without_samples(self.suite.specs).values())

    def _execute(self, runner_name: RunnerName, plan: Plan, sink: ResultSink, claims: TrialClaims) -> None:
        """Train the missing trials of the suite, sharing them with other runs on the same workspace."""
        starts_ray = runner_name == "ray" and not self.address
        with cluster.starting_meanwhile() if starts_ray else nullcontext():
            self._run_jobs(runner_name, self.prepare_jobs(plan.todo.values()), plan, sink, claims)

    def _run_jobs(
        self, runner_name: RunnerName, jobs: list[Job], plan: Plan, sink: ResultSink, claims: TrialClaims
    ) -> None:
        inputs = self._remote.upload_inputs(jobs) if self._remote else None
        runner = make_runner(runner_name, self.workspace.ray, self.suite.resources.retries, inputs)
        view = LiveView(trial_lines(self.suite, plan.todo), self.console)
        sharing = WorkSharing(
            jobs=jobs, claims=claims, store=self._store, planned_versions=plan.record_versions, listener=view
        )
        stop = StopSignal()
        with view.live(), claims.heartbeating(), sink.flushing():
            runner.run(sharing.claimable(), [sink, view], stop)
            for abandoned in sharing.left_by_others(while_waiting=sink.flush):
                runner.run(abandoned, [sink, view], stop)

    def _push(self) -> None:
        """Upload the records that the remote storage lacks, for example because it was unreachable for a while."""
        if self._remote:
            try:
                self._remote.push(self.suite.specs)
            except OSError as error:
                reason = str(error).splitlines()[0]
                logger.warning("%s lacks results (%s): the next run uploads them", self._remote.storage.uri, reason)

    def _real_samples(self) -> RealSamples:
        """A grid of real images, as PNG, or real points, for every dataset of the suite that is prepared here."""
        samples: dict[str, bytes | np.ndarray] = {}
        for name in dict.fromkeys(spec.dataset for spec in self.suite.specs.values()):
            dataset = registry.datasets[name]
            if dataset.is_prepared(self.workspace.data):
                arrays = open_prepared(dataset.prepared_dir(self.workspace.data)).train
                if dataset.is_points:
                    samples[name] = arrays.images
                    continue
                images = ImageSampler(arrays.images, dataset.stacked, torch.device("cpu"))
                batch = images.draw(GRID_IMAGES, torch.Generator().manual_seed(0))
                samples[name] = sample_grid(batch.images, dataset.stacked)
        return samples

    @property
    def _store(self) -> RecordStore:
        return RecordStore(self.workspace.results)

    @property
    def _remote(self) -> RemoteSync | None:
        return RemoteSync(self.storage, self.workspace) if self.storage else None
