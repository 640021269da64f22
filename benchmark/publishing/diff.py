"""What changed between two boards, in markdown for a pull request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.publishing.cell_tables import in_points, is_marked
from benchmark.publishing.evidence import Evidence, gather
from benchmark.publishing.findings import Findings, find
from benchmark.publishing.ranking_tables import unranked_rows
from benchmark.publishing.tables import table
from benchmark.publishing.text import NOTHING, change, change_interval, listed, md, signed
from benchmark.statistics.results import Comparison, Headline
from benchmark.wording import counted

_SETTINGS = ("name", "protocol", "baseline", "family", "margin", "target")
_MOST_CELLS = 60


def diff(old: str, new: str) -> str:
    """Return which records, treatments, ranks, verdicts and cells changed, in markdown.

    `old` and `new` are boards or results folders. A treatment is listed if anything that its row
    shows changed; a cell if its difference, or whether it stands out, did.
    """
    before, after = (find(gather([folder])) for folder in (old, new))
    parts = [
        f"# {md(after.evidence.manifest['name'])}: what changed",
        *_settings(before.evidence, after.evidence),
        _records(before.evidence, after.evidence),
        *_ranking(before, after),
        *_cells(before, after),
    ]
    return "\n\n".join(parts) + "\n"


def _settings(before: Evidence, after: Evidence) -> list[str]:
    changed = [
        f"- {key}: {md(before.manifest[key])} → {md(after.manifest[key])}"
        for key in _SETTINGS
        if before.manifest[key] != after.manifest[key]
    ]
    for what, old, new in (
        ("cells", _names(before.cells), _names(after.cells)),
        ("treatments", set(before.treatments), set(after.treatments)),
    ):
        for word, names in (("new", new - old), ("gone", old - new)):
            if names:
                changed.append(f"- {what} {word}: {listed(map(md, sorted(names)), most=40)}")
    return ["\n".join(changed)] if changed else []


def _names(cells: list[tuple[str, str, str]]) -> set[str]:
    return {" / ".join(cell) for cell in cells}


def _records(before: Evidence, after: Evidence) -> str:
    old, new = (
        dict(zip(each.frame["trial"], each.frame["line"], strict=True)) for each in (before, after)
    )
    changed = sum(old[trial] != new[trial] for trial in old.keys() & new.keys())
    return (
        f"{counted(len(new), 'record')}: {len(new.keys() - old.keys()):,} new,"
        f" {len(old.keys() - new.keys()):,} gone, {changed:,} changed."
    )


def _ranking(before: Findings, after: Findings) -> list[str]:
    old, new = _places(before), _places(after)
    rows = [
        (md(name), *map(_arrow, old.get(name, _NOWHERE), new.get(name, _NOWHERE)))
        for name in [*new, *(name for name in old if name not in new)]
        if old.get(name) != new.get(name)
    ]
    verdicts = sum(name in old and old[name][2] != place[2] for name, place in new.items())
    if not rows:
        return ["No rank, interval or verdict changed."]
    headers = ("Treatment", "Rank", "Test error, % [95 % interval]", "Verdict")
    return [
        f"## Ranking\n\n{counted(verdicts, 'verdict')} of treatments in both changed.",
        table(headers, rows, "lrrl"),
    ]


_NOWHERE = (NOTHING, NOTHING, "not listed")


def _places(findings: Findings) -> dict[str, tuple[str, str, str]]:
    """Rank, change and verdict as shown, by treatment."""
    ranking = findings.analysis.ranking if findings.analysis else ()
    places = {row.treatment: _shown(row) for row in ranking}
    return places | {name: (NOTHING, NOTHING, "unranked") for name, _ in unranked_rows(findings)}


def _shown(row: Headline) -> tuple[str, str, str]:
    inside = change_interval(row.low_percent, row.high_percent)
    return str(row.rank), f"{change(row.change_percent)} {inside}", row.verdict


def _arrow(old: str, new: str) -> str:
    return new if old == new else f"{old} → {new}"


def _cells(before: Findings, after: Findings) -> list[str]:
    old, new = _differences(before.comparisons()), _differences(after.comparisons())
    changed = [key for key in new if key in old and old[key] != new[key]]
    changed += [key for key in old if key not in new]
    added = len(new.keys() - old.keys())
    parts = []
    if added:
        parts.append(f"{counted(added, 'difference')} new.")
    rows = [
        (md(" / ".join(cell)), md(name), _arrow(old[cell, name], new.get((cell, name), NOTHING)))
        for cell, name in changed[:_MOST_CELLS]
    ]
    if rows:
        headers = ("Cell", "Treatment", "Difference to the baseline, points")
        parts.append(table(headers, rows, "llr"))
    if len(changed) > _MOST_CELLS:
        parts.append(f"... and {len(changed) - _MOST_CELLS:,} more.")
    return ["## Cells", *parts] if parts else ["No difference in a cell changed."]


def _differences(comparisons: Mapping[Any, Comparison]) -> dict[Any, str]:
    return {
        key: signed(in_points(row.mean_difference)) + (" *" if is_marked(row) else "")
        for key, row in comparisons.items()
    }
