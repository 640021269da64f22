"""index.html: its data are the statistics', it stays small, and nothing in it can break out."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmark.publishing import Board, publish
from benchmark.publishing.curves import mean_curves
from benchmark.publishing.evidence import gather
from benchmark.publishing.findings import Findings, find
from benchmark.publishing.page import render_page
from benchmark.publishing.page_data import DIGITS, _headline, pack, page_data, to_json
from benchmark.publishing.pairs import every_pair
from benchmark.publishing.pictures import Pictures
from benchmark.publishing.text import change, change_interval, p_value, plain
from benchmark.publishing.verdicts import VERDICTS
from benchmark.statistics import analyse
from tests.publishing.conftest import NASTY
from tests.publishing.synthetic import write_results


def unpack(text: str, width: int) -> list[int]:
    """Read `pack` back, as the page does."""
    found = []
    for start in range(0, len(text), width):
        value = 0
        for letter in text[start : start + width]:
            value = 64 * value + DIGITS.index(letter)
        found.append(value)
    return found


def page_of(folder: Path | str) -> str:
    return (Path(folder) / "index.html").read_text(encoding="utf-8")


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


class Elements(HTMLParser):
    """Collects tags with their attributes, and the text of table cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_packed_numbers_come_back() -> None:
    values = [0, 1, 63, 64, 4095]
    assert unpack(pack(values, 2), 2) == values
    assert unpack(pack([2**32 - 1, 7], 6), 6) == [2**32 - 1, 7]
    assert unpack(pack([-5, 10_000], 2), 2) == [0, 4095]


def test_every_pair_is_what_analyse_finds_with_its_baseline(findings: Findings) -> None:
    pairs = every_pair(findings)
    analysis, trials = findings.analysis, findings.trials
    assert analysis is not None
    assert trials is not None
    for at, name in enumerate(pairs.names):
        own = analyse(trials, name, analysis.family, analysis.margin, cells=analysis.cells)
        assert pairs.rankings[at] == own.ranking
        differences = {(row.cell, row.treatment): row for row in own.comparisons}
        for pair in np.flatnonzero(pairs.second == at):
            for k, cell in enumerate(analysis.cells):
                row = differences[cell, pairs.names[pairs.first[pair]]]
                assert row.mean_difference == pairs.difference[k, pair]
                assert bool(pairs.marked[k, pair]) == (row.p_bh is not None and row.p_bh < 0.05)
                assert row.ci_high == pytest.approx(
                    pairs.difference[k, pair] + pairs.half_width[k, pair]
                )


def test_the_page_has_the_ranking_for_every_baseline(board: Board) -> None:
    data = data_of(page_of(board.folder))
    names = data["treatments"]
    trials, analysis = board.findings.trials, board.findings.analysis
    assert trials is not None
    assert analysis is not None
    for at, baseline in enumerate(names):
        own = analyse(trials, baseline, analysis.family, cells=analysis.cells)
        rows = {row.treatment: row for row in own.ranking}
        assert data["rankings"][at][at] is None
        for name, shown in zip(names, data["rankings"][at], strict=True):
            if name != baseline:
                rank, percent, low, high, p, verdict = shown
                row = rows[name]
                assert (rank, VERDICTS[verdict]) == (row.rank, row.verdict)
                assert change(percent) == change(row.change_percent)
                ends = row.low_percent, row.high_percent
                assert change_interval(low, high) == change_interval(*ends)
                assert (p or "< 0.001") == p_value(row.p_family)


@given(
    percent=st.floats(-100, 1e12),
    low=st.floats(-100, 300) | st.floats(-100, -90),
    high=st.floats(-100, 300) | st.floats(99, 101) | st.floats(1e8, 1e10),
)
@example(percent=-31.1, low=-82.46, high=170.7)
@example(percent=99.96, low=-12.34, high=99.96)
def test_a_change_is_rounded_once_on_its_way_to_the_page(
    findings: Findings, percent: float, low: float, high: float
) -> None:
    assert findings.analysis
    row = replace(
        findings.analysis.ranking[0], change_percent=percent, low_percent=low, high_percent=high
    )
    _, own, *ends, _, _ = _headline(row)
    assert change(own) == change(percent)
    assert change_interval(*ends) == change_interval(low, high)


def test_the_page_has_every_difference_with_its_mark_and_interval(board: Board) -> None:
    data = data_of(page_of(board.folder))
    names, cells = data["treatments"], [tuple(cell) for cell in data["cells"]]
    packed, halves = unpack(data["differences"], 3), unpack(data["half_widths"], 2)
    comparisons = board.findings.comparisons()
    n = len(names)
    assert len(packed) == len(halves) == n * (n - 1) // 2 * len(cells)
    for pair, name in enumerate(names[1:]):
        for k, cell in enumerate(cells):
            row = comparisons[cell, name]
            value, half = packed[pair * len(cells) + k], halves[pair * len(cells) + k]
            # The baseline comes first, so the pair is turned round.
            points = -((value - 1) // 2 - 10_000) / 100
            assert row.mean_difference is not None
            assert row.ci_high is not None
            assert points == pytest.approx(100 * row.mean_difference, abs=0.0051)
            assert bool((value - 1) % 2) == (row.p_bh is not None and row.p_bh < 0.05)
            width = 100 * (row.ci_high - row.mean_difference)
            assert (half - 1) / 100 == pytest.approx(width, abs=0.0051)


def test_the_page_has_every_run_curve_and_trial(board: Board) -> None:
    data = data_of(page_of(board.folder))
    frame = board.findings.evidence.frame
    names, cells, seeds = data["treatments"], [tuple(c) for c in data["cells"]], data["seeds"]
    runs, halves = unpack(data["runs"], 3), unpack(data["trials"], 6)
    trials = [f"{a:08x}{b:08x}" for a, b in zip(halves[::2], halves[1::2], strict=True)]
    for row in frame.to_dict("records"):
        cell = cells.index((row["dataset"], row["architecture"], row["recipe"]))
        at = (cell * len(names) + names.index(row["treatment"])) * len(seeds)
        at += seeds.index(row["seed"])
        assert (runs[at] - 8) / 1e4 == pytest.approx(row["accuracy"], abs=5.1e-5)
        assert trials[at] == row["trial"]
    first = unpack(data["curves"]["means"][0], 2)[: len(data["curves"]["epochs"][0])]
    own = frame[(frame["treatment"] == names[0]) & (frame["architecture"] == cells[0][1])]
    curves = board.findings.evidence.curves[own.index[own["dataset"] == cells[0][0]]]
    assert [(value - 1) / 1e3 for value in first] == pytest.approx(curves.mean(axis=0), abs=6e-4)


def test_failed_and_missing_runs_are_told_apart_on_the_page(tmp_path: Path) -> None:
    results = write_results(
        tmp_path / "results",
        ["timm", "a", "b", "c"],
        seeds=range(3),
        statuses={"a": "diverged", "b": "out_of_memory"},
        missing=1,
    )
    publish([str(results)], str(tmp_path / "board"))
    data = data_of(page_of(tmp_path / "board"))
    runs = np.array(unpack(data["runs"], 3)).reshape(4, 4, 3)
    at = [data["statuses"].index(name) for name in ("diverged", "out of memory")]
    assert (runs[:, 1] == at[0]).all()
    assert (runs[:, 2] == at[1]).all()
    assert runs[-1, 3, -1] == 0
    assert (runs[:, 0] >= 8).all()


def test_names_cannot_leave_their_place(nasty: Path) -> None:
    page = page_of(nasty)
    elements = Elements(page)
    tags = [tag for tag, _ in elements.tags]
    assert "img" not in tags
    assert tags.count("script") == 2
    assert not any(key.startswith("on") for _, attributes in elements.tags for key in attributes)
    # Templates inside names are not run either.
    assert "{{ 7 * 7 }}" in "".join(elements.text)
    data = data_of(page)
    assert {plain(name) for name in NASTY} < set(data["treatments"])


def test_links_go_to_http_to_the_boards_own_files_or_into_the_page(nasty: Path) -> None:
    for tag, attributes in Elements(page_of(nasty)).tags:
        for key in ("href", "src", "action"):
            target = attributes.get(key)
            if target is None or (tag, target) == ("link", "data:,"):
                continue
            own = target.startswith(("https://", "http://", "#")) or (nasty / target).is_file()
            assert own, target


def test_json_in_the_page_has_no_markup() -> None:
    text = to_json({"a": "</script><!-- & \u2028"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script><!-- & \u2028"}


def test_forty_treatments_in_twenty_cells_stay_under_300_kb(tmp_path: Path) -> None:
    treatments = ["timm", *(f"initializer_{i}(gain=1.5)+rewiring_{i % 4}" for i in range(39))]
    cells = [(f"dataset_{i % 4}", f"architecture_{i // 4}", "standard") for i in range(20)]
    results = write_results(tmp_path / "results", treatments, cells, range(3), layers=1)
    findings = find(gather([str(results)]))
    page = render_page(findings, mean_curves(findings.evidence), Pictures(), "0" * 64)
    assert len(page.encode()) < 300_000
    data = data_of(page)
    assert {"runs", "curves", "half_widths", "trials"} <= set(data)
    assert math.comb(40, 2) * 20 * 3 == len(data["differences"])


def test_without_room_the_page_leaves_out_single_runs_first_of_all_trials(
    findings: Findings,
) -> None:
    curves = mean_curves(findings.evidence)
    everything = page_data(findings, curves, 10**9)
    assert everything["named_seeds"] == 5
    least = page_data(findings, curves, 0)
    assert not {"runs", "curves", "half_widths", "trials"} & set(least)
    assert least["differences"] == everything["differences"]
    some = page_data(findings, curves, len(to_json(everything)) - 9 * 4 * 12 * 2)
    assert some["named_seeds"] == 3
