"""How many seeds the claims of a suite need."""

from dataclasses import dataclass
from typing import Any

from benchmark.analysis.claims.power import FewestSeeds, fewest_seeds, seeds_to_decide
from benchmark.analysis.claims.results import ClaimResult, claim_results
from benchmark.analysis.leaderboard import leaderboard_rows
from benchmark.planning.plan import Plan
from benchmark.store.record_store import RecordStore
from benchmark.store.workspace import Workspace


@dataclass(frozen=True)
class ClaimNeed:
    """A judged claim without a decision, the fewest seeds that its test needs, and those that would probably decide it.

    `enough`: None if it is unknown, as before two seeds are measured, or above 1,000.
    """

    result: ClaimResult
    fewest: FewestSeeds
    enough: int | None

    def as_json(self) -> dict[str, Any]:
        """One entry of `claims` in `plan --json`."""
        claim = self.result.claim
        place = {"table": claim.table, "claim": claim.name, "test": claim.test, "verdict": self.result.verdict.value}
        counts = {"seeds": self.result.counts.total, "finished": self.result.counts.finished}
        return place | counts | {"fewest_seeds": self.fewest._asdict(), "seeds_to_decide": self.enough}


def claim_needs(plan: Plan, workspace: Workspace) -> list[ClaimNeed]:
    """The needs of all claims that are judged at the scale of the suite and not decided, in its order."""
    if not any(claim.is_judged for claim in plan.suite.claims):
        return []
    records = RecordStore(workspace.results).read_without_samples(plan.suite.specs)
    results = claim_results(plan.suite, leaderboard_rows(plan.suite, records))
    return [
        ClaimNeed(result, fewest_seeds(result.claim), seeds_to_decide(result))
        for result in results
        if result.claim.is_judged and not result.verdict.is_decided
    ]
