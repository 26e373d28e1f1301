"""`results.json`: the full leaderboard for programs, with published values and verdicts."""

import json
import math
from dataclasses import asdict
from typing import Any

from benchmark.analysis.claims.power import fewest_seeds, seeds_to_decide
from benchmark.analysis.claims.results import ClaimResult, SideResult, claim_results, results_by_table
from benchmark.analysis.leaderboard import LeaderboardRow, MetricResult, outputs_of, rows_by_table
from benchmark.analysis.ordering import MethodPair, table_orders
from benchmark.config.suite import Suite
from benchmark.report.sections import seeds

FORMAT = 1  # increases when a key changes its meaning


def results_json(suite: Suite, rows: list[LeaderboardRow]) -> str:
    """The whole file. Numbers have full precision; values that are not finite are null."""
    claims = results_by_table(claim_results(suite, rows))
    content = {
        "format": FORMAT,
        "suite": suite.name,
        "title": suite.title,
        "scale": suite.scale,
        "reduced": suite.is_reduced,
        "seeds": list(suite.seeds),
        "max_seeds": suite.max_seeds,
        "tolerance": suite.tolerance,
        "tables": [
            {
                "title": title,
                "rows": [_row(row) for row in members],
                "orders": _orders(members),
                "claims": [_claim(result) for result in claims.get(title, [])],
            }
            for title, members in rows_by_table(suite, rows).items()
        ],
    }
    return json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _row(row: LeaderboardRow) -> dict[str, Any]:
    needs = {key: needed.as_json() for key, needed in seeds.inconclusive(row).items()}
    return {
        "row": row.label,
        "method": row.spec.method,
        "dataset": row.spec.dataset,
        "network": row.spec.network,
        "protocol": row.spec.protocol.model_dump(mode="json"),
        "derived_from_abstract": row.is_derived,
        "trials": [{"trial_id": t.spec.trial_id, "seed": t.spec.seed, "status": t.status} for t in row.trials],
        "cost": row.cost and vars(row.cost),
        "looks": list(row.cell.looks),
        "results": {key: _result(result) | {"seeds_needed": needs.get(key)} for key, result in row.results.items()},
    }


def _result(result: MetricResult) -> dict[str, Any]:
    aggregate, judged, difference = result.aggregate, result.judged, result.difference
    return {
        "title": result.output.title,
        "better": result.output.better if result.output.is_ranked else None,
        "measured": aggregate
        and {
            "by_seed": aggregate.values,
            "mean": aggregate.mean,
            "standard_deviation": aggregate.std,
            "interval_95": result.clipped(aggregate.interval),
            "coefficient_of_variation": aggregate.coefficient_of_variation,
            "sampling_standard_deviation": aggregate.sampling_std,
        },
        "judged": judged
        and {
            "rule": result.rule,
            "notes": list(result.reference.rule_notes) if result.reference and result.rule else [],
            "by_seed": judged.trainings.values,
            "value": judged.estimate,
            "coefficient_of_variation": judged.trainings.coefficient_of_variation,
            "interval_95": result.interval,
            "instruments": judged.instruments and vars(judged.instruments),
        },
        "published": result.published and result.published.model_dump(mode="json"),
        "mismatches": list(result.reference.mismatches) if result.reference else [],
        "difference": difference
        and {
            "estimate": difference.estimate,
            "interval_95": difference.interval,
            "interval_90": difference.equivalence_interval,
            "margin": difference.margin,
            "equivalence_p": difference.p_value,
            "published_half_width_90": difference.published_half_width,
            "out_of_reach": difference.is_out_of_reach,
        },
        "look": result.look and {"seeds": result.look.seeds, "share_of_error_rates": result.look.share},
        "verdict": result.verdict.value,
    }


def _orders(rows: list[LeaderboardRow]) -> dict[str, Any]:
    """Metric output -> Kendall's tau, the published order as a whole, and all pairs of methods."""
    orders = {output.key: table_orders(rows, output.key) for output in outputs_of(rows)}
    return {
        key: {
            "kendall_tau": order.kendall_tau,
            "published_order": order.published_order and asdict(order.published_order),
            "pairs": [_pair(pair) for pair in order.pairs],
        }
        for key, order in orders.items()
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


def _claim(result: ClaimResult) -> dict[str, Any]:
    claim = result.claim
    return {
        "name": claim.name,
        "reference": claim.reference,
        "paper": claim.paper,
        "published": claim.published.model_dump(mode="json"),
        "relation": claim.relation,
        "margin": claim.margin,
        "quantifier": claim.quantifier,
        "test": claim.test,
        "assumptions": list(claim.assumptions),
        "note": claim.note,
        "seeds": asdict(result.counts),
        "sides": [_side(side) for side in result.sides],
        "p_for": result.p_for,
        "p_against": result.p_against,
        "fewest_seeds": fewest_seeds(claim)._asdict(),
        "seeds_to_decide": seeds_to_decide(result),
        "verdict": result.verdict.value,
    }


def _side(side: SideResult) -> dict[str, Any]:
    pair = side.pair
    sides = ((pair.left, side.left), (pair.right, side.right))
    left, right = (
        {
            "row": quantity.row,
            "output": quantity.output.key,
            "steps": list(quantity.steps),
            "by_seed": aggregate.values,
            "mean": aggregate.mean,
            "standard_deviation": aggregate.std,
        }
        for quantity, aggregate in sides
    )
    return {
        "side": pair.side,
        "left": left,
        "right": right,
        "difference": {
            "by_seed": side.difference.values,
            "mean": side.difference.mean,
            "interval_90": side.interval,
        },
        "p_for": side.p_for,
        "p_against": side.p_against,
    }


def _finite(value: Any) -> Any:
    """The value with null for every number in it that is not finite."""
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
