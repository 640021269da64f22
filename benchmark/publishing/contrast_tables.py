"""What a rewiring does: each against none, pa against shuffle, and the pairs a config names."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from benchmark.publishing.cell_tables import is_marked
from benchmark.publishing.findings import Findings
from benchmark.publishing.tables import Table
from benchmark.publishing.text import (
    NOTHING,
    Escape,
    cells_by_pairs,
    change,
    change_interval,
    listed,
    md,
    number,
    p_value,
    share,
)
from benchmark.publishing.verdicts import with_failures
from benchmark.statistics.contrasts import (
    BALANCE,
    BALANCE_POOLED,
    NAMED,
    REWIRING,
    REWIRING_POOLED,
    Contrast,
    ContrastFamily,
)
from benchmark.statistics.results import ERROR_PERCENT
from benchmark.wording import counted

_TITLES = {
    REWIRING_POOLED: "Each rewiring against none, averaged over initializers",
    REWIRING: "Each rewiring against none, by initializer",
    BALANCE_POOLED: "Is it the balance, or any reordering? pa against shuffle, averaged",
    BALANCE: "pa against shuffle, by initializer",
    NAMED: "Named by the config",
}


def contrast_sections(findings: Findings) -> Iterator[str]:
    """Yield a title and a table in markdown for each contrast family."""
    for title, found in contrast_tables(findings):
        yield f"**{title}**\n\n{found.markdown()}"


def contrast_tables(
    findings: Findings, escape: Escape = md, names: Collection[str] = tuple(_TITLES)
) -> Iterator[tuple[str, Table]]:
    """Yield a title and a table for each of the named contrast families that there are."""
    for name in names:
        family = findings.contrast_family(name)
        if family:
            price = f"p allows for {family.family}"
            if family.error_percent > ERROR_PERCENT:
                tested = sum(each.headline is not None for each in family.contrasts)
                price += (
                    f"; as {tested} are tested, any verdict better or worse is wrong with a chance"
                    f" of at most {number(family.error_percent, 0)} %"
                )
            yield f"{_TITLES[name]} ({price})", _table(findings, family, escape)


def _table(findings: Findings, family: ContrastFamily, escape: Escape) -> Table:
    pooled = family.name in (REWIRING_POOLED, BALANCE_POOLED)
    named = {(c["a"], c["b"]): c["name"] for c in findings.evidence.manifest["contrasts"]}
    has_third = pooled or family.name == NAMED
    headers = (
        "Treatment",
        "Against",
        *(("Averaged over" if pooled else "Called",) if has_third else ()),
        "Test error, %",
        "95 % interval",
        "p, family-wise",
        "Verdict",
        "Cells better * / worse * / all",
        "Diverged, k/n",
        "Reference diverged, k/n",
        "Cells × pairs",
    )
    rows = []
    for contrast in family.contrasts:
        called = named.get((contrast.treatment, contrast.reference), "")
        third = averaged_over(contrast, escape) if pooled else escape(called)
        names = escape(contrast.treatment), escape(contrast.reference)
        rows.append((*names, *((third or NOTHING,) if has_third else ()), *_numbers(contrast)))
    return Table(headers, tuple(rows), "ll" + "l" * has_third + "rrrlrrrr")


def averaged_over(contrast: Contrast, escape: Escape) -> str:
    """Name the initializers of a pooled contrast, and those that it had to leave out."""
    names = listed(map(escape, contrast.initializers), most=12)
    if not contrast.left_out:
        return names
    out = listed((escape(row.treatment) for row in contrast.left_out), most=12)
    return (
        f"{names or 'none'} ({out} left out: fewer than three pairs in a cell; the failures count"
        " all)"
    )


def qualified(contrast: Contrast, verdict: str) -> str:
    """Return a verdict that says so where it is not about all initializers, or all runs."""
    verdict = with_failures(verdict, contrast.failures, contrast.reference_failures)
    return f"{verdict}, {len(contrast.left_out)} left out" if contrast.left_out else verdict


def _numbers(contrast: Contrast) -> tuple[str, ...]:
    headline = contrast.headline
    lacking = len(contrast.reasons)
    found = (
        NOTHING,
        NOTHING,
        NOTHING,
        f"not tested: {counted(lacking, 'cell')} without three pairs",
    )
    if headline:
        found = (
            change(headline.change_percent),
            change_interval(headline.low_percent, headline.high_percent),
            p_value(headline.p_family),
            qualified(contrast, headline.verdict),
        )
    marked = [row for row in contrast.comparisons if is_marked(row)]
    better = sum((row.mean_difference or 0) > 0 for row in marked)
    own, other = contrast.failures, contrast.reference_failures
    return (
        *found,
        f"{better} / {len(marked) - better} / {len(contrast.comparisons)}",
        share(own.k, own.n),
        share(other.k, other.n),
        cells_by_pairs([row.n_pairs for row in contrast.comparisons]),
    )
