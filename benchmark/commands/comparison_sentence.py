"""The sentence about a comparison to put in a paper."""

from __future__ import annotations

from benchmark.commands.comparing import Compared
from benchmark.commands.sources import Cell
from benchmark.publishing.summary import scope
from benchmark.publishing.text import change, change_interval, number, p_value, plain, share
from benchmark.statistics.results import Analysis
from benchmark.version import __version__
from benchmark.wording import counted


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
        p = named_p("p", failed[compared.treatment].p)
        return (
            f"In {count_cells(analysis.cells)} ({_extent(analysis)}), {diverged} diverged (exact"
            f" McNemar test, {p}); there are too few pairs of trained networks in some cell to"
            f" compare their accuracy over all {tool}."
        )
    pairs = [each.n_pairs for each in analysis.comparisons]
    seeds = f"{_span(pairs)} seeds each ({counted(sum(pairs), 'pair')}, same seed)"
    allowing = f"{named_p('p', row.p_family)} allowing for {analysis.family} comparisons"
    error = (
        f"the test error by {change(row.change_percent)} %, 95 % interval"
        f" {change_interval(row.low_percent, row.high_percent)} %, {named_p('p', row.p)}"
        f"{f' ({allowing})' if analysis.family > 1 else ''}"
    )
    found = {
        "identical": f"{a} and {b} gave the same accuracy in every pair of runs that trained",
        "equivalent": f"{a} was equivalent to {b} within {number(100 * analysis.margin, 1)} %: it"
        f" changed {error}",
        "no difference shown": f"no difference between {a} and {b} was shown: {a} changed {error};"
        f" a change of {change(-row.detectable_percent)} % would have been seen with 80 % power",
    }.get(row.verdict.removesuffix(" where it trains"), f"{a} changed {error}, against {b}")
    where = "" if row.state == "identical" else f", {scope(row)}"
    return (
        f"In {count_cells(analysis.cells)} ({_extent(analysis)}) with {seeds}, {found}{where};"
        f" {diverged} diverged {tool}."
    )


def named_p(name: str, p: float | None) -> str:
    """Return "p = 0.03" or "p < 0.001"."""
    text = p_value(p)
    return f"{name} {text}" if text.startswith("<") else f"{name} = {text}"


def count_cells(cells: tuple[Cell, ...]) -> str:
    """Return "1 cell", "4 cells"."""
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
