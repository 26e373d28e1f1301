"""A cell's trial with every option written out, every name checked, and what could not train refused."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from benchmark.config.layers import ConfigLayers
from benchmark.config.messages import error_message
from benchmark.config.schema import Overrides
from benchmark.config.yaml_source import KeyPath
from benchmark.core import registry as plugins
from benchmark.core.errors import UserError, did_you_mean, with_location
from benchmark.core.protocol import bind_metrics
from benchmark.core.spec import FrozenModel, Measure, TrialSpec


@dataclass(frozen=True)
class SpecResolver:
    """Of one cell: its layers say where each value was written, `cell_place` where the cell was."""

    layers: ConfigLayers
    cell_place: str

    def place(self, path: KeyPath) -> str:
        """Where the value at a path was written."""
        return self.layers.place_of(path, self.cell_place)

    def at(self, path: KeyPath) -> AbstractContextManager[None]:
        """Puts that place in front of a UserError raised inside."""
        return with_location(self.place(path))

    def resolved(self, spec: TrialSpec) -> TrialSpec:
        """The trial with every option of its method and network written out, and all names checked."""
        for kind, registry in (
            ("method", plugins.methods),
            ("network", plugins.networks),
            ("dataset", plugins.datasets),
        ):
            with self.at((kind,)):
                registry.check(getattr(spec, kind))
        spec = self._measures(spec)
        if spec.protocol.evaluations > spec.steps:
            where = self.place(("protocol", "evaluations"))
            raise UserError(f"{where}: {spec.protocol.evaluations} evaluations do not fit in {spec.steps} steps")
        method, network = plugins.methods[spec.method], plugins.networks[spec.network]
        options = self._validated(method.Options, spec.options, ("options",))
        network_options = self._validated(network.Options, spec.network_options, ("network_options",))
        spec = spec.model_copy(update={"options": options, "network_options": network_options})
        self._check_fit(spec)
        return spec

    def _measures(self, spec: TrialSpec) -> TrialSpec:
        """The trial with every option of its metrics written out, and without measures that its method has not."""
        measures = {}
        for label, measure in spec.protocol.measures.items():
            at: KeyPath = ("protocol", "measures", label)
            with self.at((*at, "metric")):
                plugins.metrics.check(measure.metric)
            metric = plugins.metrics[measure.metric]
            self._check_samples(measure, metric.draws, at)
            options = self._validated(metric.Options, measure.options, (*at, "options"))
            if "extractor" in options:
                with self.at((*at, "options", "extractor")):
                    plugins.extractors.check(options["extractor"])
            measures[label] = measure.model_copy(update={"options": options})
        measures = self._applying(measures, spec.method)
        return spec.model_copy(update={"protocol": spec.protocol.model_copy(update={"measures": measures})})

    def _check_fit(self, spec: TrialSpec) -> None:
        """Refuse combinations that could not train, before anything is started."""
        method, network = plugins.methods[spec.method], plugins.networks[spec.network]
        dataset = plugins.datasets[spec.dataset]
        if dataset.shape not in network.shapes:
            fits = sorted(name for name in plugins.networks if dataset.shape in plugins.networks[name].shapes)
            raise UserError(
                f"{self.place(('network',))}: network '{spec.network}' does not make"
                f" {'x'.join(map(str, dataset.shape))} images of {spec.dataset}; fitting: {', '.join(fits)}"
            )
        lacking = method.roles - network.roles
        if lacking:
            fits = sorted(n for n in plugins.networks if method.roles <= plugins.networks[n].roles)
            raise UserError(
                f"{self.place(('network',))}: method '{spec.method}' needs"
                f" {' and '.join(sorted(lacking))}, which network '{spec.network}' lacks; fitting: {', '.join(fits)}"
            )
        with self.at(("network_options",)):
            problem = network.check_config(spec.network_options, method.roles)
            if problem:
                raise UserError(problem)
        for player in spec.optimizer.player_lr:
            if player not in method.players:
                where = self.place(("optimizer", "player_lr", player))
                raise UserError(f"{where}: unknown player '{player}'; {did_you_mean(player, method.players)}")
        with self.at(("options",)):
            if method.label_fraction(spec.options) and not dataset.num_classes():
                fits = sorted(name for name in plugins.datasets if plugins.datasets[name].num_classes())
                raise UserError(
                    f"method '{spec.method}' learns from labels, and {spec.dataset} has none;"
                    f" labelled: {', '.join(fits)}"
                )
            problem = method.check_config(spec.options, spec.batch_size, max(dataset.num_classes(), 0))
            if problem:
                raise UserError(problem)
        for one in bind_metrics(spec.protocol):
            with self.at(("protocol", "measures", one.label)):
                problem = one.metric.problem(one.options, dataset, one.n_fake)
                if problem:
                    raise UserError(problem)

    def _applying(self, measures: dict[str, Measure], name: str) -> dict[str, Measure]:
        """The measures that a method has. Raises UserError when it has none of them."""
        method = plugins.methods[name]
        metrics = {label: plugins.metrics[measure.metric] for label, measure in measures.items()}
        found = {label: measure for label, measure in measures.items() if metrics[label].applies(method)}
        if not found:
            fits = (n for n in plugins.methods if any(m.applies(plugins.methods[n]) for m in metrics.values()))
            raise UserError(
                f"{self.place(('protocol', 'measures'))}: method '{name}' has no {' and no '.join(measures)}, so"
                f" nothing is left to measure; methods that have: {', '.join(sorted(fits))}"
            )
        return found

    def _check_samples(self, measure: Measure, draws: bool, at: KeyPath) -> None:
        """Samples, and a codec for them, are for metrics that look at samples."""
        if draws and measure.n_fake is None:
            where = self.place(at)
            raise UserError(f"{where}: 'n_fake' is required: '{measure.metric}' is taken over generated images")
        if not draws:
            for key in ("n_fake", "codec"):
                if getattr(measure, key) != Measure.model_fields[key].default:
                    where = self.place((*at, key))
                    raise UserError(f"{where}: '{measure.metric}' looks at no generated images; leave out '{key}'")

    def _validated(self, model: type[FrozenModel] | Any, values: Overrides, at: KeyPath) -> Overrides:
        try:
            return dict(model.model_validate(values).model_dump(mode="json"))
        except ValidationError as error:
            raise UserError(
                "\n".join(f"{self.place((*at, *e['loc']))}: {error_message(e, model)}" for e in error.errors())
            ) from None
