"""Plots are whole SVG files that read in light and dark, with names that do not overlap."""

from __future__ import annotations

import io
import itertools
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from benchmark.publishing import Board
from benchmark.publishing.evidence import gather
from benchmark.publishing.findings import Findings, find
from benchmark.publishing.plots import canvas
from benchmark.publishing.plots.forest import forest_plot
from benchmark.publishing.plots.heatmap import heat_map
from benchmark.publishing.plots.ranks import _alike, _bars, least_cells, rank_plot, ranks_note
from benchmark.publishing.plots.scatter import seed_plot, strength_plot
from tests.publishing.synthetic import write_results

SVG = "{http://www.w3.org/2000/svg}"


def texts_of(svg: str) -> list[tuple[str, float]]:
    """Return every text of a plot, which matplotlib leaves in a comment, with its height on it."""
    pattern = r"<!-- (.*?) -->.*?translate\(-?[\d.]+ (-?[\d.]+)\)"
    return [(text, float(y)) for text, y in re.findall(pattern, svg, re.DOTALL)]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """Forty treatments with long names in fifteen cells."""
    treatments = ["timm", *(f"initializer_{i}(gain=1.5)+rewiring_{i}" for i in range(39))]
    cells = [(f"data_{i % 2}", f"architecture_{i}", "short") for i in range(15)]
    folder = tmp_path_factory.mktemp("many")
    return find(gather([str(write_results(folder, treatments, cells, range(3), epochs=3))]))


def test_every_plot_is_well_formed_and_has_its_title_and_no_date(board: Board) -> None:
    plots = sorted((Path(board.folder) / "plots").glob("*.svg"))
    assert [plot.stem for plot in plots] == [
        *("curves-digits", "curves-fashion-mnist", "forest", "heatmap"),
        *("seeds-digits", "seeds-fashion-mnist", "strength"),
    ]
    for plot in plots:
        text = plot.read_text(encoding="utf-8")
        root = ET.fromstring(text)
        assert root.find(f"{SVG}title") is not None
        assert "dc:date" not in text
        assert "Matplotlib v" not in text
        assert len(text) < 300_000


def test_every_colour_of_the_theme_has_a_dark_twin_with_enough_contrast() -> None:
    def luminance(colour: str) -> float:
        channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(
            channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
        )
        return float(linear @ [0.2126, 0.7152, 0.0722])

    def contrast(one: str, other: str) -> float:
        low, high = sorted((luminance(one), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    dark_paper = canvas.THEME[canvas.PAPER]
    for light, dark in canvas.THEME.items():
        if light in (canvas.PAPER, canvas.GRID):
            continue
        wanted = 4.5 if light in (canvas.INK, canvas.MUTED, canvas.ORANGE) else 3.0
        assert contrast(light, canvas.PAPER) >= wanted, light
        assert contrast(dark, dark_paper) >= wanted, dark


def test_plots_use_no_colour_that_the_dark_theme_forgets(board: Board) -> None:
    known = {*canvas.THEME, "none"}
    for name in ("forest", "curves-digits", "seeds-digits", "strength"):
        text = (Path(board.folder) / "plots" / f"{name}.svg").read_text(encoding="utf-8")
        used = set(re.findall(r"(?:fill|stroke): (#\w+|none)", text))
        assert used <= known, name
        assert f'[style*="fill: {canvas.INK}"]{{fill:{canvas.THEME[canvas.INK]}!important}}' in text


@pytest.mark.parametrize("draw", [forest_plot, heat_map])
def test_forty_names_stand_in_rows_of_their_own(many: Findings, draw) -> None:  # type: ignore[no-untyped-def]
    with canvas.settings():
        svg = draw(many)
    heights = sorted(y for text, y in texts_of(svg) if text.startswith("initializer_"))
    assert len(heights) == 39
    assert min(b - a for a, b in itertools.pairwise(heights)) > 1.3 * 9


def test_forty_names_do_not_meet_in_the_diagram_of_ranks(many: Findings) -> None:
    with canvas.settings():
        svg = rank_plot(many)
    assert svg is not None
    rows = [(text, y) for text, y in texts_of(svg) if "  " in text]
    assert len(rows) == 40
    heights = sorted({y for _, y in rows})
    assert len(heights) == 20
    assert min(b - a for a, b in itertools.pairwise(heights)) > 1.3 * 9


def test_long_names_leave_room_for_the_plot(tmp_path: Path) -> None:
    treatments = ["timm", "a" * 300, "b_" * 90 + "+pa"]
    findings = find(gather([str(write_results(tmp_path, treatments, seeds=range(3)))]))
    with canvas.settings():
        for svg in (forest_plot(findings), heat_map(findings)):
            names = [
                text for text, _ in texts_of(svg) if text.startswith(("a", "b_")) and "…" in text
            ]
            assert len(names) == 2
            assert max(canvas.text_width(name) for name in names) < canvas.WIDTH / 2


def test_every_run_is_a_dot(findings: Findings) -> None:
    with canvas.settings():
        svg = seed_plot(findings, range(3), "runs")
    paths = re.findall(r'<path d="([^"]*)"[^>]*opacity: 0.6', svg)
    dots = re.findall(r"M (\S+ \S+) \nL \1 ", "".join(paths))
    assert len(dots) == 3 * 9 * 5


def test_bars_join_neighbours_that_are_all_alike() -> None:
    alike = np.eye(5, dtype=bool)
    for i, j in ((0, 1), (1, 2), (0, 2), (3, 4)):
        alike[i, j] = alike[j, i] = True
    assert _bars(alike) == [(0, 2), (3, 4)]
    alike[0, 2] = alike[2, 0] = False
    assert _bars(alike) == [(0, 1), (1, 2), (3, 4)]
    assert _bars(np.eye(3, dtype=bool)) == []


def test_identical_treatments_are_alike_and_opposite_ones_are_not() -> None:
    x = np.linspace(0.5, 1.0, 12)
    alike = _alike(np.array([np.zeros(12), np.zeros(12), x, -x]))
    assert alike[0, 1]
    assert not alike[2, 3]
    assert not alike[0, 2]


@pytest.mark.parametrize(("treatments", "least"), [(3, 7), (4, 8), (9, 11)])
def test_from_the_least_cells_on_a_perfect_order_can_be_told_apart(
    treatments: int, least: int
) -> None:
    assert least_cells(treatments) == least
    apart = {}
    for cells in (least - 1, least):
        changes = np.outer(np.arange(treatments), np.linspace(0.5, 1.0, cells))
        apart[cells] = not _alike(changes).all()
    assert apart == {least - 1: False, least: True}


def test_a_board_with_too_few_cells_for_the_diagram_of_ranks_says_so(board: Board) -> None:
    with canvas.settings():
        assert rank_plot(board.findings) is None
    readme = (Path(board.folder) / "README.md").read_text(encoding="utf-8")
    assert "36 pairs, and Wilcoxon's test" in readme
    assert "in fewer than 11 cells; here are 4." in readme


def test_a_board_with_a_diagram_of_ranks_does_not_say_that_there_is_none(many: Findings) -> None:
    assert ranks_note(many) == ""


def test_no_strength_plot_without_strength(tmp_path: Path) -> None:
    findings = find(gather([str(write_results(tmp_path, ["timm", "a", "b"], seeds=range(3)))]))
    with canvas.settings():
        assert strength_plot(findings) is None


def test_text_that_is_laid_out_once_is_drawn_as_matplotlib_draws_it() -> None:
    def drawn() -> Figure:
        figure = canvas.new_figure(2.0)
        axes = figure.add_subplot()
        canvas.row_names(axes, ["orthogonal+pa", "timm", "orthogonal+pa", "µ → ∞ $x$"])
        axes.set_title("orthogonal+pa")
        return figure

    with canvas.settings():
        expected = io.StringIO()
        metadata = {"Date": None, "Creator": None, "Title": "names"}
        drawn().savefig(expected, format="svg", metadata=metadata)
        svg = [canvas.to_svg(drawn(), "names") for _ in range(2)]
        widths = [canvas.text_width("orthogonal+pa"), canvas.text_width("$x$")]
        paths = [TextPath((0, 0), name, 9) for name in ("orthogonal+pa", "$x$")]
    assert svg[0] == svg[1]
    assert without_numbers(svg[0]) == without_numbers(expected.getvalue())
    assert numbers_in(svg[0]) == pytest.approx(numbers_in(expected.getvalue()), abs=0.0051)
    assert widths == [float(path.vertices[:, 0].max()) / 72 for path in paths]


def without_numbers(svg: str) -> str:
    return re.sub(r"-?\d+(\.\d+)?", "0", re.sub("<style>@media.*?</style>\n ", "", svg))


def numbers_in(svg: str) -> list[float]:
    found = re.sub("<style>@media.*?</style>", "", svg)
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", found)]
