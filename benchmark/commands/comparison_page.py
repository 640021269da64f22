"""The page of a comparison: 80 columns of a terminal, and the sentence to put in a paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from benchmark.commands.comparing import Cell, Compared
from benchmark.publishing.cell_tables import in_points, is_marked
from benchmark.publishing.findings import TARGET_SHARE
from benchmark.publishing.summary import scope
from benchmark.publishing.text import (
    NOTHING,
    change,
    change_interval,
    counted,
    interval,
    listed,
    number,
    p_value,
    percent,
    plain,
    share,
    signed,
)
from benchmark.statistics.early import EpochsToTarget
from benchmark.statistics.results import Analysis, Arm, Comparison, Headline
from benchmark.version import __version__

SETTLED = ("better", "better where it trains", "worse", "equivalent", "identical")

Line = tuple[str, str]


def page(compared: Compared) -> Group:
    """Return everything there is to say of a comparison, for a console of 80 columns."""
    parts: list[RenderableType] = [_facts(_head(compared)), Text()]
    parts += [_cell_table(compared), *map(_note, _cell_notes(compared)), Text()]
    for title, lines in (
        (f"Over {_cells(compared.analysis.cells)}", _over_cells(compared)),
        ("Early training", _early(compared)),
        ("What these runs could show", _sensitivity(compared)),
    ):
        found = list(lines)
        if found:
            parts += [Text(title, style="bold"), _facts(found), Text()]
    parts += [Text("For a paper", style="bold"), Text(sentence(compared))]
    return Group(*parts)


def sentence(compared: Compared) -> str:
    """Return what can be said of the comparison, with all that a reader needs to judge it."""
    analysis, row = compared.analysis, compared.headline
    a, b = plain(compared.treatment), plain(compared.reference)
    failed = {each.treatment: each for each in analysis.failures}
    diverged = " and ".join(
        f"{share(failed[name].k, failed[name].n)} runs of {plain(name)}"
        for name in (compared.treatment, compared.reference)
    )
    tool = f"(initbench {__version__})"
    if row is None:
        p = _p("p", failed[compared.treatment].p)
        return (
            f"In {_cells(analysis.cells)} ({_extent(analysis)}), {diverged} diverged (exact McNemar"
            f" test, {p}); there are too few pairs of trained networks in some cell to compare"
            f" their accuracy over all {tool}."
        )
    pairs = [each.n_pairs for each in analysis.comparisons]
    seeds = f"{_span(pairs)} seeds each ({counted(sum(pairs), 'pair')}, same seed)"
    error = (
        f"the test error by {change(row.change_percent)} %, 95 % interval"
        f" {change_interval(row.low_percent, row.high_percent)} %, {_p('p', row.p)}"
        f" ({_p('p', row.p_family)} allowing for {counted(analysis.family, 'comparison')})"
    )
    found = {
        "identical": f"{a} and {b} gave the same accuracy in every pair of runs",
        "equivalent": f"{a} was equivalent to {b} within {number(100 * analysis.margin, 1)} %: it"
        f" changed {error}",
        "no difference shown": f"no difference between {a} and {b} was shown: {a} changed {error};"
        f" a change of {change(-row.detectable_percent)} % would have been seen with 80 % power",
    }.get(row.verdict, f"{a} changed {error}, against {b}")
    where = "" if row.state == "identical" else f", {scope(row)}"
    return (
        f"In {_cells(analysis.cells)} ({_extent(analysis)}) with {seeds}, {found}{where};"
        f" {diverged} diverged {tool}."
    )


def _head(compared: Compared) -> Iterator[Line]:
    cells = compared.analysis.cells
    yield "A", plain(compared.treatment)
    yield "B", plain(compared.reference)
    same = _shared(cells)
    kinds = ("data set", "architecture", "recipe")
    where = [
        f"{kind} {name}" for kind, name, kept in zip(kinds, cells[0], same, strict=True) if kept
    ]
    yield "paired", plain("; ".join([f"by seed, in {_cells(cells)}", *where]))
    yield "measured", "accuracy on the test set at the last epoch, in percent"
    yield "records", listed(map(plain, compared.source.names))


def _cell_table(compared: Compared) -> Table:
    analysis = compared.analysis
    diverged = any(arm.n_diverged for arm in analysis.arms)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("cell", overflow="fold", ratio=1)
    for heading in ("A", "B", "A − B", "95 % interval", "p", "pairs"):
        table.add_column(heading, justify="right", no_wrap=True)
    if diverged:
        table.add_column("diverged", justify="right", no_wrap=True)
    same = _shared(analysis.cells)
    for row in analysis.comparisons:
        arms = _arms(compared, row)
        texts = [
            _varying(row.cell, same),
            *(percent(arm.mean) for arm in arms),
            *_difference(row),
            share(row.n_pairs, row.n_pairs + row.n_diverged_pairs + row.n_missing),
        ]
        if diverged:
            texts.append(" : ".join(str(arm.n_diverged) for arm in arms))
        table.add_row(*map(Text, texts))
    return table


def _arms(compared: Compared, row: Comparison) -> list[Arm]:
    """The two arms of a comparison; one without rows has no runs."""
    found = {
        arm.treatment: arm
        for arm in compared.analysis.arms
        if (arm.dataset, arm.architecture, arm.recipe) == row.cell
    }
    names = (compared.treatment, compared.reference)
    return [found.get(name) or Arm(*row.cell, name, 0, 0, 0, None, None, None) for name in names]


def _difference(row: Comparison) -> tuple[str, str, str]:
    if row.mean_difference is None:
        return NOTHING, "too few pairs" if row.n_pairs else "no pairs", NOTHING
    mark = " *" if is_marked(row) else "  "
    points = signed(in_points(row.mean_difference))
    if row.state == "identical":
        return points + mark, "identical", "1"
    inside = interval(in_points(row.ci_low), in_points(row.ci_high))
    return points + mark, inside, p_value(row.p)


def _cell_notes(compared: Compared) -> Iterator[str]:
    analysis = compared.analysis
    if any(map(is_marked, analysis.comparisons)):
        yield "* stands out among these cells (Benjamini-Hochberg, 5 %)."
    if any(arm.n_ok != row.n_pairs for row in analysis.comparisons for arm in _arms(compared, row)):
        yield "A and B are means over all finished runs, A − B is over pairs of them."
    statuses = compared.source.table
    lost = Counter(
        str(status)
        for cell, name, status in zip(
            zip(statuses["dataset"], statuses["architecture"], statuses["recipe"], strict=True),
            statuses["treatment"],
            statuses["status"],
            strict=True,
        )
        if name in (compared.treatment, compared.reference)
        and status not in ("ok", "diverged")
        and cell in analysis.cells
    )
    if lost:
        counts = listed(f"{n} {status}" for status, n in lost.most_common())
        yield f"Runs without a result, held against neither: {counts}."
    if analysis.near_ceiling:
        names = listed(plain(" / ".join(cell)) for cell in analysis.near_ceiling)
        yield f"B errs on fewer than 10 images in {names}: there one image is a large step."
    if compared.left_out:
        names = listed((plain(" / ".join(cell)) for cell in compared.left_out), most=3)
        has = "not both have" if compared.common else "B has no"
        yield f"Left out, because {has} runs there: {names}."


def _over_cells(compared: Compared) -> Iterator[Line]:
    analysis, row = compared.analysis, compared.headline
    if row is None:
        yield "no verdict", _lacking(compared)
    elif row.state == "identical":
        yield "verdict", "identical: every pair of runs has the same accuracy"
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
        if row.excludes_zero and row.verdict not in SETTLED:
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
    if row.verdict == "equivalent":
        return f"equivalent: within {number(100 * analysis.margin, 1)} % of the error"
    if row.verdict == "better where it trains":
        return "better where it trains, and A diverges more often"
    return {"better": "A is better", "worse": "A is worse"}.get(row.verdict, row.verdict)


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
        f" {counted(a.only_baseline or 0, 'pair')}, exact {_p('p', a.p)}"
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
            text = f"{change(row.change_percent)} % {_inside(row)}, {_p('p', row.p)}"
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
        f" {_p('p', found.p)}: {race.verdict or 'no verdict, a cell has no pairs'}"
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
    if row and row.verdict in SETTLED:
        yield "to settle it", "no more seeds: the verdict stands"
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
    from math import expm1

    return f"{change_interval(100 * expm1(low), 100 * expm1(high))} %"


def _p(name: str, p: float | None) -> str:
    text = p_value(p)
    return f"{name} {text}" if text.startswith("<") else f"{name} = {text}"


def _cells(cells: tuple[Cell, ...]) -> str:
    return counted(len(cells), "cell")


def _extent(analysis: Analysis) -> str:
    kinds = ("data set", "architecture", "recipe")
    counts = [len({cell[at] for cell in analysis.cells}) for at in range(3)]
    return ", ".join(
        counted(n, kind) for n, kind in zip(counts, kinds, strict=True) if kind != "recipe" or n > 1
    )


def _span(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def _shared(cells: tuple[Cell, ...]) -> tuple[bool, ...]:
    """Which of data set, architecture and recipe all cells have in common."""
    return tuple(len(set(column)) == 1 for column in zip(*cells, strict=True))


def _varying(cell: Cell, same: tuple[bool, ...]) -> str:
    parts = [part for part, shared in zip(cell, same, strict=True) if not shared]
    return plain(" / ".join(parts or cell))


def _facts(lines: Iterable[Line]) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for name, text in lines:
        grid.add_row(Text(name, style="dim"), Text(text))
    return Padding(grid, (0, 0, 0, 2))


def _note(text: str) -> Text:
    return Text(text, style="dim")
