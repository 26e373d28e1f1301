"""The claims of a suite: which quantities each compares, and what it predicts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from benchmark.config.cells import Cell
from benchmark.config.published import PublishedClaim, PublishedTables
from benchmark.config.schema import ClaimConfig, PairedTest, Quantifier, QuantityConfig, Relation, SuiteFile
from benchmark.config.yaml_source import KeyPath, YamlFile
from benchmark.core.errors import UserError, did_you_mean, with_location
from benchmark.core.protocol import metric_outputs

if TYPE_CHECKING:  # importing it at run time would load torch
    from benchmark.evaluation.metrics.base import Output


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """Per seed, the mean of an output of a row over the evaluations at `steps`.

    `steps` are empty at a reduced scale that has no evaluation there. `when`: the steps in words, "" for the last one.
    """

    row: str
    output: "Output"
    steps: tuple[int, ...]
    when: str = ""


@dataclass(frozen=True)
class PairedQuantities:
    """Two quantities, paired by seed. `side`: what tells it from the others of its claim; "" for a single one."""

    left: Quantity
    right: Quantity
    side: str = ""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim of a paper and its test on the rows of a table.

    `paper`: the citation. `edge`: the claim predicts that left - right is above it, or below it for any other relation
    than `greater`. `is_judged`: whether the trials are at a scale at which the claim gets a verdict.
    """

    table: str
    name: str
    paper: str
    reference: str
    published: PublishedClaim
    comparisons: tuple[PairedQuantities, ...]
    relation: Relation
    margin: float | None
    quantifier: Quantifier
    test: PairedTest
    assumptions: tuple[str, ...]
    note: str
    is_judged: bool

    @property
    def edge(self) -> float:
        """The difference left - right at which the prediction begins, in the unit of the output."""
        return self.margin or 0.0

    @property
    def rows(self) -> tuple[str, ...]:
        """The rows that it compares, each once."""
        sides = (side.row for comparison in self.comparisons for side in (comparison.left, comparison.right))
        return tuple(dict.fromkeys(sides))


def build_claims(source: YamlFile, suite: SuiteFile, scale: str, cells: Sequence[Cell]) -> tuple[Claim, ...]:
    """All claims of a suite at a scale, in the order of the file; one that is judged for `each` side is several.

    Synthetic images have none. Raises UserError with every problem, each once.
    """
    if suite.scales[scale].synthetic:
        return ()
    papers, claims, problems = PublishedTables(source.path.parent / "papers"), [], []
    for index, table in enumerate(suite.tables):
        rows = {cell.row: cell for cell in cells if cell.table == table.title}
        for name, config in table.claims.items():
            builder = _ClaimBuilder(source, ("tables", index, "claims", name), config, rows)
            try:
                paper, published = builder.published(papers)
                is_judged = scale == "paper" or published.scale == "not_stated"
                claim = Claim(
                    table=table.title,
                    name=name,
                    paper=paper,
                    reference=config.published,
                    published=published,
                    comparisons=builder.comparisons(is_judged),
                    assumptions=tuple(config.assumptions),
                    is_judged=is_judged,
                    **config.model_dump(include={"relation", "margin", "quantifier", "test", "note"}),
                )
            except UserError as error:
                problems.append(str(error))
            else:
                claims += _judged_apart(claim)
    if problems:
        raise UserError("\n".join(dict.fromkeys("\n".join(problems).splitlines())))
    return tuple(claims)


def _judged_apart(claim: Claim) -> list[Claim]:
    """The claim, or one for each of its sides if each is judged on its own."""
    if claim.quantifier != "each" or len(claim.comparisons) == 1:
        return [claim]
    return [replace(claim, name=f"{claim.name}: {side.side}", comparisons=(side,)) for side in claim.comparisons]


@dataclass(frozen=True)
class _ClaimBuilder:
    """Resolves one claim of a suite file against the cells of its table, by row."""

    source: YamlFile
    key: KeyPath
    config: ClaimConfig
    cells: dict[str, Cell]

    def published(self, papers: PublishedTables) -> tuple[str, PublishedClaim]:
        """The citation and the claim, if the rest of the test fits its relation and quantifier. Raises UserError."""
        with with_location(self._at("published")):
            found = papers.claim(self.config.published)
        if self.config.relation == "not_greater" and self.config.margin is None:
            raise UserError(
                f"{self._at()}: 'margin' is required by relation 'not_greater': by how much, in the unit of the output,"
                " must left exceed right to be greater?"
            )
        if self.config.relation != "not_greater" and self.config.margin is not None:
            raise UserError(f"{self._at('margin')}: belongs to relation 'not_greater'; leave it out")
        return found

    def comparisons(self, is_judged: bool) -> tuple[PairedQuantities, ...]:
        """One comparison for each row and output of the left side. Raises UserError."""
        pairs = []
        for row in self._rows("left", None):
            for output in self._outputs("left", row, None):
                (right_row,) = self._rows("right", row)
                (right_output,) = self._outputs("right", right_row, output)
                pair = PairedQuantities(
                    self._quantity("left", row, output, is_judged),
                    self._quantity("right", right_row, right_output, is_judged),
                )
                if pair.left == pair.right:
                    raise UserError(f"{self._at()}: 'left' and 'right' are the same quantity")
                pairs.append(pair)
        if self.config.quantifier != "each" and len(pairs) < 2:
            raise UserError(
                f"{self._at('quantifier')}: '{self.config.quantifier}' needs several rows or outputs under 'left', and"
                " there is one; leave it out"
            )
        return tuple(_with_sides(pairs))

    def _rows(self, side: str, default: str | None) -> list[str]:
        names = _as_list(self._of(side).row) or ([default] if default else [])
        self._check_count(side, "row", names)
        for name in names:
            if name not in self.cells:
                raise UserError(f"{self._at(side, 'row')}: there is no row '{name}'; {did_you_mean(name, self.cells)}")
        return names

    def _outputs(self, side: str, row: str, default: "Output | None") -> "list[Output]":
        known = metric_outputs(self.cells[row].specs[0].protocol)
        patterns = _as_list(self._of(side).output) or ([default.key] if default else [])
        found: dict[str, Output] = {}
        for pattern in patterns:
            matches = {key: output for key, output in known.items() if fnmatchcase(key, pattern)}
            if not matches:
                hint = did_you_mean(pattern, known)
                raise UserError(f"{self._at(side, 'output')}: row '{row}' measures no '{pattern}'; {hint}")
            found |= matches
        self._check_count(side, "output", found)
        return list(found.values())

    def _check_count(self, side: str, key: str, names: Iterable[str]) -> None:
        """The left side must name its rows and outputs; the right side has one of each."""
        number = len(list(names))
        if not number:
            raise UserError(f"{self._at(side)}: '{key}' is required")
        if side == "right" and number > 1:
            raise UserError(f"{self._at(side, key)}: stands for {number} quantities; only 'left' may have several")

    def _quantity(self, side: str, row: str, output: "Output", is_judged: bool) -> Quantity:
        config, evaluations = self._of(side), self.cells[row].specs[0].evaluation_steps
        steps: list[int] = []
        for after, up_to in self._windows(side, evaluations[-1]):
            inside = [step for step in evaluations if after < step <= up_to]
            if not inside and is_judged:
                key = "up_to" if config.up_to else "after"
                raise UserError(
                    f"{self._at(side, key)}: row '{row}' has no evaluation at steps {after + 1:,} to {up_to:,}; it has"
                    f" those at steps {_listed(evaluations)}"
                )
            steps += inside
        return Quantity(row=row, output=output, steps=tuple(dict.fromkeys(steps)), when=_when(config, evaluations[-1]))

    def _windows(self, side: str, end: int) -> Iterator[tuple[int, int]]:
        """The windows of steps (after, up_to] of a side; that of the last evaluation by default."""
        config = self._of(side)
        after, up_to, until = config.after, config.up_to, config.until or end
        if config.until and not config.every:
            raise UserError(f"{self._at(side, 'until')}: belongs to 'every'; write 'up_to'")
        if after is None and up_to is None:
            if config.every:
                raise UserError(
                    f"{self._at(side, 'every')}: repeats a window of steps; say which by 'after' and 'up_to'"
                )
            yield end - 1, end
            return
        first = (after or 0, up_to or end)
        if first[0] >= first[1]:
            raise UserError(f"{self._at(side, 'after')}: is {first[0]}, but the window ends at step {first[1]}")
        shift = config.every or end
        for start in range(0, max(until - first[1], 0) + 1, shift):
            yield first[0] + start, first[1] + start

    def _of(self, side: str) -> QuantityConfig:
        return self.config.left if side == "left" else self.config.right

    def _at(self, *keys: str) -> str:
        return self.source.location((*self.key, *keys))


def _as_list(names: str | list[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else names or []


def _with_sides(pairs: list[PairedQuantities]) -> Iterator[PairedQuantities]:
    """The comparisons, each with the names that tell it from the others."""
    rows, outputs = {pair.left.row for pair in pairs}, {pair.left.output.key for pair in pairs}
    for pair in pairs:
        title = pair.left.output.title.removesuffix(", %")
        names = ([pair.left.row] if len(rows) > 1 else []) + ([title] if len(outputs) > 1 else [])
        yield replace(pair, side=", ".join(names))


def _when(config: QuantityConfig, end: int) -> str:
    """The steps of a side in words; "" for the last evaluation."""
    if config.after is None and config.up_to is None:
        return ""
    words = f"steps {(config.after or 0) + 1:,} to {config.up_to or end:,}"
    if not config.every:
        return words
    return f"{words}, and every {config.every:,} steps later" + (f" up to {config.until:,}" if config.until else "")


def _listed(steps: Sequence[int]) -> str:
    """`100, 200, 300, ..., 20,000`."""
    shown = [f"{step:,}" for step in steps]
    return ", ".join(shown if len(shown) <= 5 else [*shown[:3], "...", shown[-1]])
