"""Another's method comes to a board the way that its README.md says: nothing earlier changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.document import read_document, write_yaml
from benchmark.publishing.board import read
from benchmark.publishing.claims import claims
from benchmark.publishing.findings import Findings
from benchmark.statistics.results import Analysis
from tests.conftest import Command

INLINE = ("--executor", "inline")
CHANGES = (
    ("initializers: [timm, kaiming_normal]", "initializers: [timm, orthogonal]"),
    ("rewirings: [none, pa]", "rewirings: [none, pa, shuffle]"),
    ("seeds: 2", "seeds: 3"),
    ("epochs: 2", "epochs: 1"),
)
PLUGIN = """\
from benchmark import initializer

@initializer("guest", summary="normal with a standard deviation of 0.1", paper="none")
def guest(weight, layer, generator):
    weight.normal_(0.0, 0.1, generator=generator)
"""


@pytest.mark.slow
def test_a_guest_trains_only_what_is_new_and_changes_no_row_of_anyone_else(
    command: Command, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    assert command("run", write_config(*CHANGES), *INLINE)[0] == 0
    assert command("board", "results/small", "--out", "leaderboard/small")[0] == 0
    config = read_document("leaderboard/small/config.yaml").data
    assert (config["family"], config["contrast_families"]["rewiring against none"]) == (5, 4)
    config["grid"]["initializers"].append("guest")
    Path("mine.yaml").write_text(write_yaml(config))
    Path("guest.py").write_text(PLUGIN)
    assert command("merge", "leaderboard/small", "--into", "results/mine")[0] == 0
    run = ("run", "mine.yaml", "--plugin", "guest.py", *INLINE)
    code, _, err = command(*run, "--out", "leaderboard/small")
    assert (code, "initbench merge leaderboard/small --into" in err) == (2, True)
    code, out, _ = command(*run, "--out", "results/mine")
    assert (code, "27 trials, 18 of them done" in out) == (0, True)
    records = Path("results/mine/records.jsonl").read_text().splitlines()
    assert [json.loads(line)["initializer"] for line in records[18:]] == ["guest"] * 9

    sources = ("leaderboard/small", "results/mine")
    assert command("board", *sources, "--out", "leaderboard/joint")[0] == 0
    assert command("board", "--check", "leaderboard")[0] == 0
    old, new = read("leaderboard/small"), read("leaderboard/joint")
    assert {"guest", "guest+pa", "guest+shuffle"} < set(new.evidence.treatments)
    before, after = dict(_rows(old)), dict(_rows(new))
    assert {key: after[key] for key in before} == before
    assert len(after) > len(before)
    small, joint = (Path(f"leaderboard/{name}/trials.csv") for name in ("small", "joint"))
    assert set(small.read_text().splitlines()) < set(joint.read_text().splitlines())
    # And so it goes on: who starts from the joint board finds the sizes that the first one had.
    kept = read_document("leaderboard/joint/config.yaml").data
    sizes = ("family", "contrast_families")
    assert [kept[key] for key in sizes] == [config[key] for key in sizes]
    assert (new.analysis.family_error_percent if new.analysis else None) == 8.0


def _rows(findings: Findings) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """All that a board says of a treatment or a contrast, but what hangs on who else is listed."""
    early = findings.early
    assert early is not None
    for analysis in (findings.analysis, early.epoch1, early.area):
        assert analysis is not None
        yield from _analysis(analysis)
    for race in early.epochs or ():
        yield ("race", race.treatment), race
    for family in findings.contrasts:
        yield ("family", family.name), family.family
        for row in family.contrasts:
            headline = row.headline and replace(row.headline, p_holm=0.0)
            yield (family.name, row.treatment, row.reference), replace(row, headline=headline)
    yield ("targets",), findings.targets
    yield ("the claim that pa improves the performance",), claims(findings)[3]


def _analysis(analysis: Analysis) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for row in (*analysis.arms, *analysis.comparisons):
        yield (analysis.outcome, type(row), row.dataset, row.architecture, row.treatment), row
    for failures in analysis.failures:
        yield (analysis.outcome, "failures", failures.treatment), failures
    for headline in analysis.ranking:
        same = replace(headline, p_holm=0.0, rank=0)
        yield (analysis.outcome, "ranking", headline.treatment), same
    yield (analysis.outcome, "near the ceiling"), analysis.near_ceiling
