"""`results.json`: the whole leaderboard for programs, published values and verdicts included."""

import json
import math
from dataclasses import asdict
from typing import Any

from benchmark.analysis.equivalence import Difference
from benchmark.analysis.leaderboard import LeaderboardRow, MetricResult, outputs_of, rows_by_table
from benchmark.analysis.ordering import MethodPair, table_orders
from benchmark.config.published import PublishedValue
from benchmark.config.suite import Suite

FORMAT = 1  # raised when a key changes its meaning


def results_json(suite: Suite, all_rows: list[LeaderboardRow]) -> str:
    """The whole file, every number in full precision; what is not finite is null."""
    tables = rows_by_table(suite, all_rows)
    content = {
        "format": FORMAT,
        "suite": suite.name,
        "title": suite.title,
        "scale": suite.scale,
        "reduced": suite.is_reduced,
        "seeds": list(suite.seeds),
        "tolerance": suite.tolerance,
        "tables": [
            {"title": title, "rows": [_row(row) for row in members], "orders": _orders(members)}
            for title, members in tables.items()
        ],
    }
    return json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _row(row: LeaderboardRow) -> dict[str, Any]:
    return {
        "row": row.label,
        "method": row.spec.method,
        "dataset": row.spec.dataset,
        "network": row.spec.network,
        "protocol": row.spec.protocol.model_dump(mode="json"),
        "derived_from_abstract": row.is_derived,
        "trials": [{"trial_id": t.spec.trial_id, "seed": t.spec.seed, "status": t.status} for t in row.trials],
        "cost": row.cost and vars(row.cost),
        "results": {key: _result(result, row) for key, result in row.results.items()},
    }


def _result(result: MetricResult, row: LeaderboardRow) -> dict[str, Any]:
    published = row.cell.published.value(result.output.key) if row.cell.published else None
    return {
        "title": result.output.title,
        "better": result.output.better,
        "measured": _measured(result),
        "published": _published(published),
        "mismatches": list(result.reference.mismatches) if result.reference else [],
        "difference": _difference(result.difference),
        "verdict": result.verdict.value,
    }


def _measured(result: MetricResult) -> dict[str, Any] | None:
    aggregate = result.aggregate
    if aggregate is None:
        return None
    return {
        "by_seed": aggregate.values,
        "mean": aggregate.mean,
        "standard_deviation": aggregate.std,
        "interval_95": result.interval,
        "sampling_standard_deviation": aggregate.sampling_std,
    }


def _published(value: PublishedValue | None) -> dict[str, Any] | None:
    return None if value is None else value.model_dump(mode="json")


def _difference(apart: Difference | None) -> dict[str, Any] | None:
    if apart is None:
        return None
    return {
        "estimate": apart.estimate,
        "interval_95": apart.interval,
        "interval_90": apart.equivalence_interval,
        "margin": apart.margin,
        "equivalence_p": apart.p_value,
        "basis": apart.basis,
    }


def _orders(members: list[LeaderboardRow]) -> dict[str, Any]:
    """Metric output -> Kendall's tau and all pairs of methods."""
    found = {output.key: table_orders(members, output.key) for output in outputs_of(members)}
    return {
        key: {
            "kendall_tau": order.kendall_tau,
            "published_order": order.published_order and asdict(order.published_order),
            "pairs": [_pair(pair) for pair in order.pairs],
        }
        for key, order in found.items()
        if order
    }


def _pair(pair: MethodPair) -> dict[str, Any]:
    gain = pair.improvement
    return {
        "first": pair.first,
        "second": pair.second,
        "probability_of_improvement": gain and gain.probability,
        "interval_95": gain and gain.interval,
        "rank_test_p_holm": pair.p_value,
        "verdict": pair.verdict and pair.verdict.value,
    }


def _finite(value: Any) -> Any:
    """The same, with null for what is no number."""
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
