"""Treatments whose methods get help carry their marks wherever they are ranked."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from benchmark.cli import app
from benchmark.publishing import export, publish, terminal_ranking, write_index
from benchmark.publishing.curves import mean_curves
from benchmark.publishing.evidence import gather
from benchmark.publishing.findings import Findings, find
from benchmark.publishing.manifests import merge_manifests
from benchmark.publishing.marks import labelled, legend, marks_of, marks_used
from benchmark.publishing.plots import canvas
from benchmark.publishing.plots.forest import forest_plot
from benchmark.publishing.plots.heatmap import heat_map
from benchmark.publishing.plots.learning import learning_plot
from benchmark.publishing.plots.scatter import seed_plot
from tests.publishing.synthetic import write_results
from tests.publishing.test_plots import texts_of


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results in which `orthogonal` changes the architecture and `lsuv` looks at images."""
    folder = write_results(
        tmp_path_factory.mktemp("marked"), ["timm", "lsuv", "orthogonal"], seeds=range(3)
    )
    manifest = json.loads((folder / "grid.json").read_text())
    manifest["treatments"][2] |= {"changes_architecture": True, "changes_learning_rate": True}
    (folder / "grid.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def found(marked: Path) -> Findings:
    return find(gather([str(marked)]))


def test_marks_follow_from_what_the_manifest_declares(found: Findings) -> None:
    manifest = found.evidence.manifest
    letters = {name: "".join(m.letter for m in marks) for name, marks in marks_of(manifest).items()}
    assert letters == {"timm": "", "lsuv": "D", "orthogonal": "AR"}
    assert legend(marks_used(manifest)) == (
        "D looks at training images, A changes the architecture, R changes learning rates"
    )


def test_every_ranking_shows_them(marked: Path, found: Findings, tmp_path: Path) -> None:
    out = tmp_path / "leaderboard" / "marked"
    written = publish([str(marked)], str(out))
    readme = (out / "README.md").read_text(encoding="utf-8")
    ranking = readme.partition("## Ranking")[2]
    header, _, *rows = [line for line in ranking.splitlines() if line.startswith("|")][:5]
    assert [cell.strip() for cell in header.split("|")][1:4] == ["Rank", "Treatment", "Marks"]
    shown = {row.split("|")[2].strip(): row.split("|")[3].strip() for row in rows}
    assert shown == {"timm": "", "lsuv": "D", "orthogonal": "A R"}
    assert "Marks: D looks at training images, A changes the architecture" in ranking
    first = readme.splitlines()[2]
    assert "orthogonal (changes the architecture and changes learning rates) has the" in first

    page = (out / "index.html").read_text(encoding="utf-8")
    mark = '<th scope="row">orthogonal <abbr title="changes the architecture">A</abbr>'
    assert page.count(mark) == 2
    assert "Marks: D looks at training images" in page

    write_index(str(out.parent))
    assert "| orthogonal A R " in (out.parent / "README.md").read_text(encoding="utf-8")
    assert "orthogonal A R &" in export(str(out), "latex").decode()

    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal_ranking(written.findings), highlight=False)
    text = console.export_text()
    assert "orthogonal [A R]" in text
    assert "A changes the architecture" in text


def test_every_plot_that_names_treatments_shows_them(found: Findings) -> None:
    curves = mean_curves(found.evidence)
    with canvas.settings():
        svgs = [
            forest_plot(found),
            heat_map(found),
            learning_plot(found, curves, [0], "Learning curves"),
            seed_plot(found, [0], "Every run"),
        ]
    for svg in svgs:
        assert svg is not None
        assert {"orthogonal [A R]", "lsuv [D]"} <= {text for text, _ in texts_of(svg)}


def test_a_comparison_of_two_shows_them(marked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = CliRunner().invoke(app, ["compare", "lsuv", "orthogonal", "--records", str(marked)])
    text = " ".join(done.output.split())
    assert "A lsuv [D] B orthogonal [A R]" in text
    assert "marks D looks at training images, A changes the architecture, R changes" in text
    done = CliRunner().invoke(app, ["compare", "timm", "lsuv", "--records", str(marked)])
    assert "marks D looks at training images paired" in " ".join(done.output.split())


def test_a_mark_survives_the_shortening_of_a_name(found: Findings) -> None:
    marks = marks_of(found.evidence.manifest)["orthogonal"]
    name = labelled("a_method_with_a_long_name(parameter=1.0)", marks, 24)
    assert len(name) == 24
    assert name.endswith(" [A R]")


def test_a_treatment_has_the_marks_that_any_of_the_merged_manifests_gives_it(
    found: Findings,
) -> None:
    declared = found.evidence.manifest
    silent = {**declared, "treatments": [{**t} for t in declared["treatments"]]}
    for treatment in silent["treatments"]:
        treatment["changes_architecture"] = False
    for order in ([declared, silent], [silent, declared]):
        merged = merge_manifests(order, ["one", "other"], {})
        assert marks_of(merged) == marks_of(declared)
