"""index.html in a real Chromium: it works, stays by itself, and is accessible."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from benchmark.publishing import Board, publish
from benchmark.publishing.text import plain
from benchmark.statistics import analyse
from tests.publishing.conftest import NASTY, NASTY_CELLS
from tests.publishing.synthetic import write_results
from tests.publishing.test_readme import edit_records

playwright = pytest.importorskip(
    "playwright.sync_api", reason="needs playwright: pip install playwright"
)
axe_package = pytest.importorskip(
    "axe_playwright_python", reason="needs axe-core: pip install axe-playwright-python"
)
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium"),
]
CELL = ("digits", "test_vit", "short")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()


class Visit:
    """A page with what it said on the console and asked of the network."""

    def __init__(self, browser: Any, folder: Path | str, state: str = "", **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda m: m.type == "error" and self.errors.append(m.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda d: (self.errors.append(d.message), d.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.url = (Path(folder) / "index.html").as_uri()
        self.page.goto(self.url + state)

    def column(self, table: str, place: int) -> list[str]:
        """Return the texts of a column's visible cells, from 0."""
        rows = self.page.locator(f"table.{table} tbody tr:visible")
        return [row.locator("th, td").nth(place).inner_text() for row in rows.all()]

    def control(self, name: str) -> Any:
        """Return one of the controls above the tables."""
        return self.page.locator(f"form.controls [name={name}]")

    def hash(self) -> str:
        return str(self.page.evaluate("location.hash"))


@pytest.fixture
def visit(browser: Any) -> Iterator[Any]:
    visits: list[Visit] = []

    def open_page(folder: Path | str, state: str = "", **context: Any) -> Visit:
        visits.append(Visit(browser, folder, state, **context))
        return visits[-1]

    yield open_page
    for each in visits:
        each.context.close()
        assert each.errors == []
        assert each.requests == [each.requests[0]]
        assert each.requests[0].startswith("file://")


def state_of(**values: str) -> str:
    return "#" + urlencode(values)


def test_columns_sort_both_ways_and_say_so(board: Board, visit: Any) -> None:
    it = visit(board.folder)
    ranks = it.column("ranking", 0)
    assert ranks == ["–", *"12345678"]
    button = it.page.locator("table.ranking thead th").nth(1).locator("button")
    button.click()
    names = it.column("ranking", 1)
    assert names == sorted(names)
    heading = it.page.locator("table.ranking thead th").nth(1)
    assert heading.get_attribute("aria-sort") == "ascending"
    button.click()
    assert it.column("ranking", 1) == sorted(names, reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    it.page.locator("table.cells thead th").nth(1).locator("button").click()
    values = [text for text in it.column("cells", 1) if text != "–"]
    numbers = [float(text.replace("−", "-").rstrip("*")) for text in values]
    assert numbers == sorted(numbers)


def number_in(text: str) -> float | None:
    """The first number in a cell's text, None where it has none; k/n as a share."""
    found = re.findall(r"-?\d+(?:\.\d+)?", text.replace("−", "-").replace(",", ""))
    if re.fullmatch(r"\d+/\d+", text):
        return int(found[0]) / int(found[1])
    return float(found[0]) if found else None


@pytest.mark.parametrize("table", ["ranking", "cells"])
def test_every_column_sorts_by_its_numbers(board: Board, visit: Any, table: str) -> None:
    it = visit(board.folder)
    headings = it.page.locator(f"table.{table} thead th")
    names = [headings.nth(k).inner_text() for k in range(headings.count())]
    numeric = [
        k for k, name in enumerate(names) if not name.startswith(("Treat", "better", "Verd"))
    ]
    assert len(numeric) == (8 if table == "ranking" else 4)
    for column in numeric:
        headings.nth(column).locator("button").click()
        numbers = [number_in(text) for text in it.column(table, column)]
        known = [number for number in numbers if number is not None]
        assert known == sorted(known), names[column]
        # What has no number comes last.
        assert numbers[len(known) :] == [None] * (len(numbers) - len(known))


@pytest.mark.parametrize("published", [False, True], ids=["made up", "leaderboard/digits"])
def test_the_script_shows_what_the_page_showed_without_it(
    board: Board, visit: Any, published: bool
) -> None:
    folder = Path(__file__).parents[2] / "leaderboard" / "digits" if published else board.folder
    plain_page = visit(folder, java_script_enabled=False)
    it = visit(folder)
    for table, columns in (("ranking", (0, 1, 2, 3, 5, 6, 7, 8, 9, 10)), ("cells", range(5))):
        for column in columns:
            assert it.column(table, column) == plain_page.column(table, column)
    coloured = "[...document.querySelectorAll('.cells td')].map(td => td.className)"
    assert it.page.evaluate(coloured) == [
        td.get_attribute("class") or "" for td in plain_page.page.locator(".cells td").all()
    ]
    assert not plain_page.page.locator("form.controls").is_visible()
    assert plain_page.page.locator("noscript").count() == 1


def test_filters_hide_rows_and_columns(board: Board, visit: Any) -> None:
    it = visit(board.folder)
    it.control("q").fill("Orth")
    assert it.column("ranking", 1) == ["orthogonal+pa", "orthogonal", "orthogonal+shuffle"]
    it.control("rew").select_option("pa")
    assert it.column("ranking", 1) == ["orthogonal+pa"]
    it.control("q").fill("")
    assert set(it.column("cells", 0)) == {"orthogonal+pa", "kaiming_normal+pa", "timm+pa"}
    it.control("init").select_option("timm")
    assert it.column("cells", 0) == ["timm+pa"]
    it.control("data").select_option("digits")
    assert it.page.locator("table.cells thead th:visible").count() == 4
    it.control("arch").select_option("plain_cnn")
    assert it.page.locator("table.cells thead th:visible").count() == 2
    assert "1 of 9 treatments, 1 of 4 cells" in it.page.locator(".status").inner_text()
    it.page.get_by_role("button", name="Reset").click()
    assert len(it.column("ranking", 1)) == 9
    assert it.hash() == ""


def test_another_baseline_shows_the_comparisons_with_it(board: Board, visit: Any) -> None:
    it = visit(board.folder)
    it.control("base").select_option(label="orthogonal")
    trials, analysis = board.findings.trials, board.findings.analysis
    assert trials is not None
    assert analysis is not None
    own = analyse(trials, "orthogonal", analysis.family, cells=analysis.cells)
    assert it.column("ranking", 1) == ["orthogonal", *(row.treatment for row in own.ranking)]
    shown = [float(text.replace("−", "-")) for text in it.column("ranking", 2)[1:]]
    assert shown == pytest.approx([row.change_percent for row in own.ranking], abs=0.051)
    assert it.column("ranking", 6)[1:] == [row.verdict for row in own.ranking]
    cells = dict(zip(it.column("cells", 0), it.column("cells", 3), strict=True))
    for row in own.comparisons:
        if row.cell == CELL:
            value = float(cells[row.treatment].replace("−", "-").rstrip("*"))
            assert value == pytest.approx(100 * row.mean_difference, abs=0.0051)
    assert it.page.locator("caption .base").first.inner_text() == "orthogonal"
    assert it.hash() == "#base=orthogonal"


def test_another_baseline_shows_who_diverges_more_beside_a_verdict(
    tmp_path: Path, visit: Any
) -> None:
    folder = write_results(tmp_path / "results", ["zeros", "orthogonal", "timm"])

    def fail(record: dict[str, Any]) -> None:
        if record["treatment"] == "orthogonal" and record["seed"] == 0:
            record |= {"status": "diverged", "accuracy": None}

    edit_records(folder, fail)
    publish([str(folder)], str(tmp_path / "board"))
    it = visit(tmp_path / "board", state_of(base="zeros"))
    verdicts = dict(zip(it.column("ranking", 1), it.column("ranking", 6), strict=True))
    assert verdicts["orthogonal"] == "better, diverged 4/20 against 0/20"
    assert verdicts["timm"] == "better"


def test_a_cell_opens_its_runs_its_curves_and_its_commands(board: Board, visit: Any) -> None:
    it = visit(board.folder)
    row = it.page.locator("table.cells tbody tr").filter(has_text="orthogonal+pa")
    row.locator("button").nth(2).click()
    dialog = it.page.locator("dialog")
    assert dialog.locator("h2").inner_text() == "orthogonal+pa on digits / test_vit / short"
    frame = board.findings.evidence.frame
    own = frame[
        (frame["treatment"] == "orthogonal+pa")
        & (frame["dataset"] == CELL[0])
        & (frame["architecture"] == CELL[1])
    ]
    runs = [line.split() for line in dialog.locator("tbody").inner_text().splitlines()]
    assert [run[1] for run in runs] == [f"{100 * value:.2f}" for value in own["accuracy"]]
    commands = dialog.locator("pre").inner_text().splitlines()
    assert commands == [f"initbench reproduce {trial} --records ." for trial in own["trial"]]
    assert dialog.locator("svg path").count() > 4
    it.page.keyboard.press("Escape")
    assert not dialog.is_visible()
    # A dialog says that it was closed in an event of its own, a moment later.
    it.page.wait_for_function("location.hash === ''")


def test_the_baseline_is_shown_once_in_its_own_cells(board: Board, visit: Any) -> None:
    it = visit(board.folder, state_of(cell=json.dumps([*CELL, "timm"])))
    dialog = it.page.locator("dialog")
    assert dialog.locator("thead").inner_text().split() == ["Seed", "timm"]
    assert dialog.locator("figcaption").inner_text().split() == ["╍", "timm"]
    assert {len(line.split()) for line in dialog.locator("tbody").inner_text().splitlines()} == {2}


def test_a_link_opens_the_view_it_was_copied_from(board: Board, visit: Any) -> None:
    it = visit(board.folder)
    it.control("base").select_option(label="kaiming_normal")
    it.control("q").fill("pa")
    it.page.locator("table.ranking thead th").nth(1).locator("button").click()
    it.page.locator("table.cells tbody tr:visible button:visible").first.click()
    again = visit(board.folder, it.hash())
    for column in (0, 1, 2):
        assert again.column("ranking", column) == it.column("ranking", column)
    assert again.page.locator("dialog h2").inner_text() == it.page.locator("dialog h2").inner_text()
    assert again.hash() == it.hash()


def test_a_link_to_a_part_of_the_page_goes_there(board: Board, visit: Any) -> None:
    it = visit(board.folder, "#rewiring")
    assert it.hash() == "#rewiring"
    it.page.wait_for_function("scrollY > 300")


@pytest.mark.parametrize(
    "state", ["#base=nobody&sort=x&cell=%7B", "#cell=[1,2]", "#sort=ranking.99:up", "#ranking"]
)
def test_a_mangled_link_opens_the_plain_page(board: Board, visit: Any, state: str) -> None:
    it = visit(board.folder, state)
    assert it.column("ranking", 0) == ["–", *"12345678"]
    assert not it.page.locator("dialog").is_visible()


def test_everything_works_from_the_keyboard(board: Board, visit: Any) -> None:
    it = visit(board.folder)
    it.page.locator("table.cells tbody button").nth(5).focus()
    it.page.keyboard.press("Enter")
    assert it.page.locator("dialog").is_visible()
    it.page.keyboard.press("Enter")
    assert not it.page.locator("dialog").is_visible()
    focused = it.page.evaluate("document.activeElement.closest('td') !== null")
    assert focused
    it.page.locator("table.ranking thead button").nth(1).focus()
    it.page.keyboard.press("Space")
    assert it.column("ranking", 1) == sorted(it.column("ranking", 1))


def test_names_that_mean_harm_stay_text(nasty: Path, visit: Any) -> None:
    cell = json.dumps([*map(plain, NASTY_CELLS[0]), NASTY[2]])
    it = visit(nasty, state_of(base=NASTY[0], cell=cell))
    assert it.page.locator("dialog h2").inner_text().startswith(NASTY[2])
    it.page.keyboard.press("Escape")
    assert {plain(name) for name in NASTY} < {
        " ".join(name.split()) for name in it.column("ranking", 1)
    } | {plain(name) for name in it.column("ranking", 1)}
    assert it.page.locator("img").count() == 0
    for link in it.page.locator("a").all():
        assert not (link.get_attribute("href") or "").lower().startswith("javascript")


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_itself_never_scrolls_sideways(board: Board, visit: Any, width: int) -> None:
    it = visit(board.folder, viewport={"width": width, "height": 800})
    assert it.page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_prints_without_controls(board: Board, visit: Any) -> None:
    it = visit(board.folder)
    it.page.emulate_media(media="print")
    assert not it.page.locator("form.controls").is_visible()
    assert it.page.locator("table.ranking").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("opened", [False, True])
def test_axe_finds_no_serious_violation(
    board: Board, visit: Any, scheme: str, opened: bool
) -> None:
    cell = json.dumps([*CELL, "orthogonal+pa"])
    it = visit(board.folder, state_of(cell=cell) if opened else "", color_scheme=scheme)
    it.page.evaluate((Path(axe_package.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    found = it.page.evaluate("axe.run(document)")
    serious = [
        (each["id"], [node["html"] for node in each["nodes"]][:3])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert len(found["passes"]) > 15
