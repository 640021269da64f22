"""The page of a comparison: 80 columns of a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from benchmark.commands.comparing import Compared
from benchmark.commands.comparison_cells import cell_notes, cell_table
from benchmark.commands.comparison_sentence import count_cells, named_p, sentence
from benchmark.commands.sources import Cell, common_parts
from benchmark.publishing.findings import TARGET_SHARE
from benchmark.publishing.marks import Mark, legend, letters, marks_of
from benchmark.publishing.summary import scope
from benchmark.publishing.text import (
    change,
    change_interval,
    listed,
    number,
    p_value,
    percent,
    plain,
    share,
)
from benchmark.publishing.verdicts import UNSETTLED
from benchmark.statistics.early import EpochsToTarget
from benchmark.statistics.results import Analysis, Headline
from benchmark.wording import counted

LEVEL = 0.05

Line = tuple[str, str]


def page(compared: Compared) -> Group:
    """Return everything there is to say of a comparison, for a console of 80 columns."""
    parts: list[RenderableType] = [_facts(_head(compared)), Text()]
    parts += [cell_table(compared), *map(_note, cell_notes(compared)), Text()]
    for title, lines in (
        (f"Over {count_cells(compared.analysis.cells)}", _over_cells(compared)),
        ("Early training", _early(compared)),
        ("What these runs could show", _sensitivity(compared)),
    ):
        found = list(lines)
        if found:
            parts += [Text(title, style="bold"), _facts(found), Text()]
    parts += [Text("For a paper", style="bold"), Text(sentence(compared))]
    return Group(*parts)


def _head(compared: Compared) -> Iterator[Line]:
    cells = compared.analysis.cells
    evidence = compared.source.evidence
    manifest = evidence.manifest if evidence else {"treatments": []}
    marks = marks_of(manifest)
    found: dict[Mark, None] = {}
    for letter, name in (("A", compared.treatment), ("B", compared.reference)):
        own = marks.get(name, ())
        found |= dict.fromkeys(own)
        yield letter, plain(name) + (f" [{letters(own)}]" if own else "")
    if found:
        yield "marks", legend(tuple(found))
    yield "paired", "; ".join([f"by seed, in {count_cells(cells)}", *common_parts(cells)])
    yield "measured", "accuracy on the test set at the last epoch, in percent"
    yield "records", listed(map(plain, compared.source.names))


def _over_cells(compared: Compared) -> Iterator[Line]:
    analysis, row = compared.analysis, compared.headline
    if row is None:
        yield "no verdict", _lacking(compared)
    elif row.state == "identical":
        yield "verdict", f"{row.verdict}: every pair of runs has the same accuracy"
    else:
        yield "error of A against B", f"{change(row.change_percent)} %"
        yield (
            "95 % interval",
            f"{_inside(row)}, {scope(row)}" if row.population else f"{_inside(row)}, these cells",
        )
        if row.population:
            yield (
                "  seeds alone",
                f"{_relative(row.seeds.low, row.seeds.high)}, if these cells were trained again",
            )
            yield (
                "  other cells",
                f"{_relative(row.population.low, row.population.high)}, with other {row.scope}",
            )
        yield "p", f"{p_value(row.p)}; {_family(analysis, row)}"
        yield "verdict", _verdict(analysis, row)
        if row.excludes_zero and row.verdict == UNSETTLED:
            yield (
                "",
                "The interval excludes 0 without a verdict: it is for one comparison, the"
                f" verdict allows for {analysis.family}.",
            )
    yield "diverged", _failures(compared)


def _lacking(compared: Compared) -> str:
    reasons = compared.analysis.unranked[0].reasons
    cells = listed((plain(" / ".join(r)) for r in _keys(reasons)), most=3)
    absent = all(reason.state == "absent" for reason in reasons)
    hint = "" if compared.common or not absent else "; --common compares where both have runs"
    return f"fewer than 3 pairs in {cells}{hint}"


def _keys(reasons: Iterable[object]) -> list[Cell]:
    return [(r.dataset, r.architecture, r.recipe) for r in reasons]  # type: ignore[attr-defined]


def _verdict(analysis: Analysis, row: Headline) -> str:
    word = {"better": "A is better", "worse": "A is worse"}.get(row.verdict, row.verdict)
    if row.verdict.startswith("equivalent"):
        word += f": within {number(100 * analysis.margin, 1)} % of the error"
    return f"{word}, and A diverges more often" if "where it trains" in row.verdict else word


def _family(analysis: Analysis, row: Headline) -> str:
    if analysis.family == 1:
        return "no other comparison to allow for"
    return f"{p_value(row.p_family)} allowing for {analysis.family} comparisons (--family)"


def _failures(compared: Compared) -> str:
    rows = {row.treatment: row for row in compared.analysis.failures}
    a, b = rows[compared.treatment], rows[compared.reference]
    text = f"A {share(a.k, a.n)}, B {share(b.k, b.n)} runs"
    if not a.k + b.k:
        return text
    return (
        f"{text}; A alone in {counted(a.only_treatment or 0, 'pair')}, B alone in"
        f" {counted(a.only_baseline or 0, 'pair')}, exact {named_p('p', a.p)}"
    )


def _early(compared: Compared) -> Iterator[Line]:
    early = compared.early
    if early is None:
        return
    for name, analysis in (("error after epoch 1", early.epoch1), ("mean over epochs", early.area)):
        if analysis is None:
            continue
        row = analysis.ranking[0] if analysis.ranking else None
        if row is None:
            yield name, "a cell has fewer than three pairs"
        else:
            text = f"{change(row.change_percent)} % {_inside(row)}, {named_p('p', row.p)}"
            yield name, f"{text}: {row.verdict}"
    for race in early.epochs or ():
        if race.treatment == compared.treatment:
            yield "epochs to target", _race(race)
            if compared.source.evidence:
                yield (
                    "",
                    f"The target is {percent(TARGET_SHARE, 0)} % of the median validation accuracy"
                    " that B has at the end.",
                )
    if compared.analysis.family > 1:
        yield (
            "",
            "Each p is for one comparison; the verdicts allow for"
            f" {counted(compared.analysis.family, 'comparison')}.",
        )


def _race(race: EpochsToTarget) -> str:
    found = race.overall
    ratio = (
        ""
        if found.median_ratio is None
        else f", epochs of A ×{number(found.median_ratio)} of B's (median)"
    )
    return (
        f"A first in {found.first_treatment}, B in {found.first_baseline}, ties"
        f" {found.ties} of {found.n_pairs} pairs; reached by A"
        f" {share(found.reached_treatment, found.n_pairs)}, B"
        f" {share(found.reached_baseline, found.n_pairs)}{ratio};"
        f" {named_p('p', found.p)}: {race.verdict or 'no verdict, a cell has no pairs'}"
    )


def _sensitivity(compared: Compared) -> Iterator[Line]:
    analysis, row = compared.analysis, compared.headline
    seen = [r.minimum_detectable for r in analysis.comparisons if r.minimum_detectable is not None]
    if row and row.state == "tested":
        yield "over the cells", f"a change of the error by {change(-row.detectable_percent)} %"
    if not seen:
        return
    ends = (percent(min(seen)), percent(max(seen)))
    yield (
        "in one cell",
        f"a difference of {ends[0] if ends[0] == ends[1] else ' to '.join(ends)} points,"
        " each with 80 % power",
    )
    if row and row.verdict != UNSETTLED:
        yield "to settle it", "no more seeds: the verdict stands"
        return
    if row and analysis.family * row.seeds.p < LEVEL:
        yield (
            "to settle it",
            f"other {row.scope}, not more seeds: over these cells alone the difference is clear,"
            " but they differ from one another",
        )
        return
    points = f"to show {percent(analysis.target)} points"
    over = compared.plan.over_cells
    if over and over.at_hand:
        needed, at_hand = over.seeds_cautious, over.at_hand.seeds
        more = f", {needed - at_hand} more than at hand" if needed and needed > at_hand else ""
        yield points, f"{_seeds_span([needed])} seeds for the mean over these cells{more}"
    lone = [each.plan.seeds_cautious for each in compared.plan.per_cell if each.plan]
    yield "" if over else points, f"{_seeds_span(lone)} seeds for one cell"


def _seeds_span(needed: list[int | None]) -> str:
    known = [each for each in needed if each is not None]
    if not known:
        return "more than 1000"
    last = "more than 1000" if len(known) < len(needed) else str(max(known))
    return last if last == str(min(known)) else f"{min(known)} to {last}"


def _inside(row: Headline) -> str:
    return f"{change_interval(row.low_percent, row.high_percent)} %"


def _relative(low: float, high: float) -> str:
    return f"{change_interval(100 * math.expm1(low), 100 * math.expm1(high))} %"


def _facts(lines: Iterable[Line]) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for name, text in lines:
        grid.add_row(Text(name, style="dim"), Text(text))
    return Padding(grid, (0, 0, 0, 2))


def _note(text: str) -> Text:
    return Text(text, style="dim")
