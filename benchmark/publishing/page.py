"""index.html of a board."""

from __future__ import annotations

from benchmark.publishing.curves import MeanCurves
from benchmark.publishing.findings import Findings
from benchmark.publishing.pictures import Pictures


def render_page(
    findings: Findings, curves: MeanCurves, pictures: Pictures, evidence_hash: str
) -> str:
    return ""
