"""What a rewiring does: each against none, pa against shuffle, and the pairs a config names."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.publishing.cell_tables import is_marked
from benchmark.publishing.findings import Findings
from benchmark.publishing.tables import table
from benchmark.publishing.text import (
    NOTHING,
    change,
    change_interval,
    listed,
    md,
    p_value,
    share,
)
from benchmark.statistics.contrasts import (
    BALANCE,
    BALANCE_POOLED,
    NAMED,
    REWIRING,
    REWIRING_POOLED,
    Contrast,
    ContrastFamily,
)

_TITLES = {
    REWIRING_POOLED: "Each rewiring against none, averaged over initializers",
    REWIRING: "Each rewiring against none, by initializer",
    BALANCE_POOLED: "Is it the balance, or any reordering? pa against shuffle, averaged",
    BALANCE: "pa against shuffle, by initializer",
    NAMED: "Named by the config",
}


def contrast_sections(findings: Findings) -> Iterator[str]:
    """Yield a title, a table and its notes for each contrast family."""
    for name, title in _TITLES.items():
        family = findings.contrast_family(name)
        if family:
            found = contrast_table(findings, family)
            yield f"**{title}** (p allows for {family.family})\n\n{found}"


def contrast_table(findings: Findings, family: ContrastFamily) -> str:
    """Return the contrasts of one family in markdown."""
    pooled = family.name in (REWIRING_POOLED, BALANCE_POOLED)
    first = "Averaged over" if pooled else "Called"
    named = {(c["a"], c["b"]): c["name"] for c in findings.evidence.manifest["contrasts"]}
    has_first = pooled or family.name == NAMED
    headers = (
        "Treatment",
        "Against",
        *((first,) if has_first else ()),
        "Test error, %",
        "95 % interval",
        "p, family-wise",
        "Verdict",
        "Cells better * / worse * / all",
        "Diverged, k/n",
        "Reference diverged, k/n",
    )
    rows = []
    for contrast in family.contrasts:
        called = named.get((contrast.treatment, contrast.reference), "")
        extra = listed(map(md, contrast.initializers), most=12) if pooled else md(called)
        row = _row(contrast)
        rows.append((*row[:2], *((extra or NOTHING,) if has_first else ()), *row[2:]))
    return table(headers, rows, "ll" + "l" * has_first + "rrrlrrr")


def _row(contrast: Contrast) -> tuple[str, ...]:
    headline = contrast.headline
    lacking = len(contrast.reasons)
    found = (NOTHING, NOTHING, NOTHING, f"not tested: {lacking} cells lack pairs")
    if headline:
        found = (
            change(headline.change_percent),
            change_interval(headline.low_percent, headline.high_percent),
            p_value(headline.p_family),
            headline.verdict,
        )
    marked = [row for row in contrast.comparisons if is_marked(row)]
    better = sum((row.mean_difference or 0) > 0 for row in marked)
    own, other = contrast.failures, contrast.reference_failures
    return (
        md(contrast.treatment),
        md(contrast.reference),
        *found,
        f"{better} / {len(marked) - better} / {len(contrast.comparisons)}",
        share(own.k, own.n),
        share(other.k, other.n),
    )
