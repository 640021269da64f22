"""index.html of a board: one file that needs nothing else, readable without JavaScript."""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmark.publishing import summary
from benchmark.publishing.cell_tables import in_points, is_marked, ranked_order
from benchmark.publishing.claims import claims
from benchmark.publishing.contrast_tables import contrast_tables
from benchmark.publishing.curves import MeanCurves
from benchmark.publishing.findings import Findings
from benchmark.publishing.marks import legend, marks_used
from benchmark.publishing.page_data import page_data, to_json
from benchmark.publishing.pictures import Pictures
from benchmark.publishing.ranking_tables import ranking_rows, rows_below_ranking, unranked_rows
from benchmark.publishing.run_tables import total_seconds
from benchmark.publishing.templating import template
from benchmark.publishing.text import NOTHING, hours, percent, plain, share, signed
from benchmark.statistics.contrasts import BALANCE_POOLED, NAMED, REWIRING_POOLED
from benchmark.wording import counted

MOST_BYTES = 292_000
"""So long a page may get before its data are cut."""

_STEPS = 5
_FURTHEST = math.log(4)


@dataclass(frozen=True)
class Bar:
    """Where an interval and its estimate lie on the page's axis, in percent of its width."""

    low: float
    width: float
    middle: float


@dataclass(frozen=True)
class Difference:
    """A cell of the table of differences: its text and the class of its colour."""

    text: str
    colour: str


def render_page(findings: Findings, curves: MeanCurves, pictures: Pictures, sha: str) -> str:
    """Return the text of index.html; `sha` is the hash of the evidence."""
    evidence = findings.evidence
    manifest = evidence.manifest
    names = evidence.treatments
    rows = ranking_rows(findings)
    values = {
        "title": plain(manifest["name"]),
        "sentences": summary.sentences(findings, plain),
        "missing": counted(evidence.missing, "trial") if evidence.missing else "",
        "problem": findings.problem,
        "baseline": plain(evidence.baseline),
        "place": {name: index for index, name in enumerate(names)},
        "rows": rows,
        "bars": _bars(findings),
        "zero": _axis(findings)[2],
        "ok": _runs_ok(findings),
        "marks": findings.marks(),
        "legend": legend(marks_used(manifest)),
        "below": rows_below_ranking(findings),
        "unranked": unranked_rows(findings, plain),
        "order": ranked_order(findings) if findings.analysis else [],
        "cells": evidence.cells,
        "recipes": len({cell[2] for cell in evidence.cells}),
        "differences": _differences(findings),
        "limit": percent(_limit(findings)),
        "claims": claims(findings, plain) if findings.analysis else [],
        "contrasts": list(
            contrast_tables(findings, plain, (REWIRING_POOLED, BALANCE_POOLED, NAMED))
        ),
        "scope": summary.scope(findings.analysis.ranking[0])
        if findings.analysis and findings.analysis.ranking
        else "",
        "seeds": summary.what_seeds_vary(findings),
        "comparisons": counted(manifest["family"], "comparison"),
        "margin": percent(manifest["margin"], 0),
        "plots": [
            picture
            for picture in (pictures.forest, pictures.heatmap, pictures.ranks, pictures.strength)
            if picture
        ]
        + [*pictures.curves, *pictures.seeds],
        "compute": hours(total_seconds(findings)),
        "protocol": manifest["protocol"],
        "date": evidence.date,
        "sha": sha,
        "nothing": NOTHING,
    }
    page = template("index.html.j2")
    size = len(page.render(values, data="").encode())
    return page.render(values, data=to_json(page_data(findings, curves, MOST_BYTES - size)))


def _axis(findings: Findings) -> tuple[float, float, float]:
    """The ends of the intervals' axis, in logs, and where 0 lies on it in percent."""
    ranking = findings.analysis.ranking if findings.analysis else ()
    low = max(min([row.low for row in ranking] + [-0.02]), -_FURTHEST)
    high = min(max([row.high for row in ranking] + [0.02]), _FURTHEST)
    return low, high, round(-100 * low / (high - low), 1)


def _bars(findings: Findings) -> dict[str, Bar]:
    low, high, _ = _axis(findings)

    def at(value: float) -> float:
        return round(100 * (min(max(value, low), high) - low) / (high - low), 1)

    return {
        row.treatment: Bar(at(row.low), round(at(row.high) - at(row.low), 1), at(row.estimate))
        for row in (findings.analysis.ranking if findings.analysis else ())
    }


def _runs_ok(findings: Findings) -> dict[str, str]:
    """k/n declared for every treatment."""
    runs = findings.evidence.runs
    return {name: share(ok, declared) for name, (declared, _, ok) in runs.items()}


def _limit(findings: Findings) -> float:
    """The difference that has the full colour: nine of ten are smaller."""
    sizes = sorted(
        abs(row.mean_difference)
        for row in findings.comparisons().values()
        if row.mean_difference is not None
    )
    return max(sizes[len(sizes) * 9 // 10], 1e-4) if sizes else 1.0


def _differences(findings: Findings) -> dict[str, list[Difference]]:
    """By treatment, the difference to the baseline in every cell."""
    limit = _limit(findings)
    comparisons = findings.comparisons()
    found: dict[str, list[Difference]] = {}
    for name in ranked_order(findings):
        row = []
        for cell in findings.evidence.cells:
            own = comparisons.get((cell, name))
            value = own.mean_difference if own else None
            if own is None or value is None:
                row.append(Difference(NOTHING, ""))
                continue
            step = round(_STEPS * math.sqrt(min(abs(value) / limit, 1)))
            colour = f"{'b' if value > 0 else 'w'}{step}" if step else ""
            text = signed(in_points(value)) + ("*" if is_marked(own) else "")
            row.append(Difference(text, colour))
        found[name] = row
    return found
