"""README.md of a board: plain markdown that reads well on a code host and in a terminal."""

from __future__ import annotations

import json
import re
from typing import Any

from benchmark.publishing import (
    cell_tables,
    claims,
    contrast_tables,
    measure_tables,
    ranking_tables,
    run_tables,
    summary,
)
from benchmark.publishing.findings import Findings
from benchmark.publishing.pictures import Pictures
from benchmark.publishing.plots.ranks import ranks_note
from benchmark.publishing.tables import table
from benchmark.publishing.templating import template
from benchmark.publishing.text import hours, md, percent, plain, share
from benchmark.wording import counted

_GAP = re.compile(r"\n(?:[ ]*\n)+")
"""Blank lines, however many the template's conditions have left."""


def render_readme(findings: Findings, pictures: Pictures, evidence_hash: str, records: str) -> str:
    """Return the text of README.md; `records` is the name of the file that has them."""
    evidence, analysis = findings.evidence, findings.analysis
    manifest = evidence.manifest
    values: dict[str, Any] = {
        "title": md(manifest["name"]),
        "sentences": summary.sentences(findings),
        "provisional": _provisional(findings),
        "records": records,
        "has_config": bool(manifest["configs"]),
        "problem": md(findings.problem) if findings.problem else None,
        "progress": progress_table(findings),
        "baseline": md(evidence.baseline),
        "seeds": md(summary.what_seeds_vary(findings)),
        "comparisons": counted(manifest["family"], "comparison"),
        "margin": percent(manifest["margin"], 0),
        "plots": pictures,
        "run": run_tables.run_table(findings),
        "compute": hours(run_tables.total_seconds(findings)),
        "protocol": manifest["protocol"],
        "provenance": run_tables.provenance_table(findings),
        "recipes": _recipes(findings),
        "evidence_hash": evidence_hash,
    }
    if analysis:
        values |= {
            "ranking": ranking_tables.ranking_table(findings),
            "scope": summary.scope(analysis.ranking[0])
            if analysis.ranking
            else "if there were any",
            "notes": ranking_tables.ranking_notes(findings),
            "ranks_note": ranks_note(findings),
            "unranked": ranking_tables.unranked_table(findings),
            "contrasts": list(contrast_tables.contrast_sections(findings)),
            "claims": claims.claims_table(findings),
            "published": claims.published(),
            "measures": measure_tables.measures_table(findings),
            "cells": list(cell_tables.cell_sections(findings)),
            "spread": cell_tables.spread_table(findings),
            "failures": run_tables.failure_table(findings),
            "messages": run_tables.message_table(findings),
            "early": run_tables.early_table(findings),
            "races": bool(findings.races()),
            "targets": run_tables.targets_sentence(findings),
            "variance": run_tables.variance_table(findings),
            "data_order": run_tables.data_order_notes(findings),
        }
    return _GAP.sub("\n\n", template("README.md.j2").render(values)).strip() + "\n"


def progress_table(findings: Findings) -> str:
    """Return how many of each treatment's trials have which status, in markdown."""
    rows = [
        (md(name), share(ok, declared), str(records))
        for name, (declared, records, ok) in findings.evidence.runs.items()
    ]
    return table(("Treatment", "Runs ok, k/n declared", "Records"), rows, "lrr")


def _provisional(findings: Findings) -> str:
    missing = findings.evidence.missing
    if not missing:
        return ""
    declared = len(findings.evidence.manifest["trials"])
    return (
        f"{counted(missing, 'trial')} of {declared:,} have no record yet; ranks and verdicts may"
        " change as they come in."
    )


def _recipes(findings: Findings) -> list[dict[str, str]]:
    found: dict[tuple[str, str], None] = {}
    for cell in findings.evidence.manifest["cells"]:
        content = json.dumps(cell.get("recipe_content", {}), sort_keys=True)
        found[plain(cell["recipe"]), content] = None
    return [{"name": md(name), "content": plain(content)} for name, content in sorted(found)]
