"""README.md says what the statistics say, in tables that a code host renders."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.publishing import Board, publish
from benchmark.publishing.cell_tables import spread_table
from benchmark.publishing.claims import claims
from benchmark.publishing.contrast_tables import contrast_tables
from benchmark.publishing.evidence import gather
from benchmark.publishing.findings import TARGET_SHARE, Findings, contrast_sizes, find
from benchmark.publishing.pictures import Pictures
from benchmark.publishing.ranking_tables import ranking_rows, unranked_rows
from benchmark.publishing.readme import render_readme
from benchmark.publishing.run_tables import data_order_notes, variance_table
from benchmark.publishing.summary import sentences, what_seeds_vary
from benchmark.publishing.text import p_value, plain
from benchmark.statistics import data_order
from benchmark.statistics.contrasts import REWIRING
from benchmark.trial import CHANGED_VALUES
from tests.publishing.conftest import NASTY
from tests.publishing.synthetic import CELLS, TREATMENTS, write_results
from tests.publishing.test_text import MARKDOWN


def readme_of(folder: Path | str) -> str:
    return (Path(folder) / "README.md").read_text(encoding="utf-8")


def test_its_parts_stand_in_order(board: Board) -> None:
    headings = re.findall(r"^##? (.*)$", readme_of(board.folder), re.MULTILINE)
    assert headings == [
        *("synthetic", "Ranking", "What rewiring does", "What training-free measures predict"),
        "By data set and architecture",
        *("Failures", "Early training", "What was run", "How to reproduce", "How to add yours"),
    ]


def test_the_first_three_sentences_say_what_was_compared_found_and_how_surely(
    board: Board,
) -> None:
    compared, found, sure = sentences(board.findings)
    assert compared.startswith("8 treatments were compared with the baseline timm in 4 cells")
    assert "180 networks trained" in compared
    assert found.startswith("orthogonal+pa has the smallest test error on average over the cells")
    assert "at most 5 %" in sure
    assert "0/180 runs diverged" in sure
    assert readme_of(board.folder).splitlines()[2] == f"{compared} {found} {sure}"


def test_the_ranking_says_whether_seeds_vary_the_order_of_the_data(board: Board) -> None:
    evidence = board.findings.evidence
    shuffled = {"recipe": "shuffled", "recipe_content": {"data_seed": "per_seed"}}

    def said(varying: int) -> str:
        cells = [
            {**cell, **(shuffled if place < varying else {})}
            for place, cell in enumerate(evidence.manifest["cells"])
        ]
        manifest = {**evidence.manifest, "cells": cells}
        return what_seeds_vary(Findings(replace(evidence, manifest=manifest)))

    assert said(0).startswith("The seeds vary the weights alone: split, order")
    assert said(1).startswith("With the recipes short, the seeds vary the weights alone")
    assert said(4).startswith("From seed to seed the weights vary, and split, order")
    assert said(0) in readme_of(board.folder)
    assert said(0) in (Path(board.folder) / "index.html").read_text(encoding="utf-8")
    no_config = replace(evidence, manifest={**evidence.manifest, "configs": []})
    assert what_seeds_vary(Findings(no_config)) == ""


def test_where_nothing_beats_the_baseline_the_second_sentence_says_so(tmp_path: Path) -> None:
    folder = write_results(tmp_path, ["timm", "zeros"], seeds=range(5))
    found = sentences(find(gather([str(folder)])))[1]
    assert found.startswith(
        "No ranked treatment has a smaller test error than timm on average over"
    )


def test_no_table_has_more_than_twelve_columns_or_a_ragged_row(board: Board) -> None:
    tables = re.findall(r"(?:^\|.*\|$\n?)+", readme_of(board.folder), re.MULTILINE)
    assert len(tables) > 10
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", line)) - 1 for line in table.splitlines()}
        assert len(widths) == 1
        assert widths.pop() <= 12


def test_ties_share_a_rank_and_show_it(tmp_path: Path) -> None:
    folder = write_results(tmp_path, ["timm", "a", "b"], seeds=range(3))
    lines = (folder / "records.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    of_a = {
        (r["dataset"], r["architecture"], r["seed"]): r for r in records if r["treatment"] == "a"
    }
    for record in records:
        if record["treatment"] == "b":
            twin = of_a[record["dataset"], record["architecture"], record["seed"]]
            record["accuracy"] = twin["accuracy"]
    (folder / "records.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    ranks = [row.rank for row in ranking_rows(find(gather([str(folder)])))]
    assert ranks == ["–", "1=", "1="]


def test_the_target_and_who_reached_it_first_hang_on_the_baseline_alone(
    findings: Findings, tmp_path: Path
) -> None:
    few = find(gather([str(write_results(tmp_path, TREATMENTS[:1] + TREATMENTS[-1:]))]))
    assert few.targets is not None
    assert findings.targets is not None
    assert few.targets.keys() == findings.targets.keys()
    evidence = findings.evidence
    frame = evidence.frame
    for cell, target in findings.targets.items():
        rows = frame[
            (frame["dataset"] == cell[0])
            & (frame["architecture"] == cell[1])
            & (frame["treatment"] == "timm")
        ].index
        last = sorted(evidence.curves[rows][:, -1].tolist())
        assert target == pytest.approx(TARGET_SHARE * last[2])


def test_contrast_families_have_the_size_that_the_grid_declares(findings: Findings) -> None:
    sizes = contrast_sizes(findings.evidence.manifest)
    assert {family.name: family.family for family in findings.contrasts} == sizes
    assert sorted(sizes.values()) == [1, 2, 3, 6]


def test_the_ranking_shows_holms_p_beside_that_of_the_verdict(board: Board) -> None:
    analysis = board.findings.analysis
    assert analysis
    ranking = readme_of(board.folder).partition("## Ranking")[2].strip().splitlines()
    at = [header.strip() for header in ranking[0].split("|")].index("p, family-wise (Holm)")
    shown = {line.split("|")[2].strip(): line.split("|")[at].strip() for line in ranking[2:11]}
    assert shown["timm"] == "–"
    for row in analysis.ranking:
        assert shown[row.treatment] == f"{p_value(row.p_family)} ({p_value(row.p_holm)})"
    assert any(row.p_holm < row.p_family for row in analysis.ranking)


def test_a_race_shows_its_p_and_what_it_speaks_of(board: Board) -> None:
    early = readme_of(board.folder).partition("## Early training")[2]
    first, _, *lines = early.strip().splitlines()
    at = [header.strip() for header in first.split("|")].index("p, family-wise")
    for name, race in board.findings.races().items():
        row = next(line for line in lines if line.startswith(f"| {name} ")).split("|")
        assert row[at].strip() == p_value(race.p_family)
        assert row[-2].strip() == race.verdict
    assert "They speak of these cells and no others; p allows for 8 comparisons." in early


def test_shares_of_variance_stand_beside_what_a_source_without_effect_would_take(
    findings: Findings,
) -> None:
    variance = findings.analysis and findings.analysis.variance
    assert variance
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
        for line in variance_table(findings).splitlines()[2:]
        if (cells := line.split("|"))
    }
    shares, df = variance.shares, variance.degrees_of_freedom
    of_noise = 100 * shares["residual"] * df["seed"] / df["residual"]
    assert rows["seed"] == [f"{100 * shares['seed']:.1f}", f"{of_noise:.1f}", str(df["seed"])]
    assert rows["residual"][1] == "–"


def test_the_four_claims_have_words_that_follow_from_their_numbers(findings: Findings) -> None:
    words = [claim.word for claim in claims(findings)]
    assert words == ["not shown", "supported", "supported", "not shown"]
    assert "60 runs" in claims(findings)[1].evidence
    assert re.search(r"in \d+/12 \(cell, initializer\)", claims(findings)[3].evidence)


def test_the_first_claim_is_only_described_where_initializers_are_few(findings: Findings) -> None:
    claim = claims(findings)[0]
    assert claim.word == "not shown"
    assert "a description without an interval: fewer than 5 initializers" in claim.evidence
    assert findings.strength
    more = replace(findings.strength, low=-0.9, high=-0.1, over="initializers", reason=None)
    claim = claims(replace(findings, strength=more))[0]
    assert claim.word == "supported"
    assert claim.evidence.endswith(" [−0.90, −0.10], over other initializers.")


def test_a_board_without_pa_claims_nothing_about_it(tmp_path: Path) -> None:
    folder = write_results(tmp_path, ["timm", "orthogonal"], seeds=range(3))
    words = [claim.word for claim in claims(find(gather([str(folder)])))]
    assert words[1:] == ["no evidence here"] * 3


def edit_records(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "records.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        edit(record)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture
def far_better(tmp_path: Path) -> Path:
    """Pa lowers the error by a third in every run, after one epoch as well as at the end."""
    cells = [("fashion_mnist", f"net_{i}", "short") for i in range(4)]
    treatments = ["timm", "timm+pa", "orthogonal", "orthogonal+pa"]
    folder = write_results(tmp_path / "far", treatments, cells, range(6), epochs=2, layers=0)

    def lower_errors(record: dict[str, Any]) -> None:
        noise = 10 * record["seed"] + 3 * int(record["architecture"][-1])
        wrong = 400 + noise - (133 if record["rewiring"] == "pa" else 0)
        record["accuracy"] = 1 - wrong / record["n_test"]
        record["epoch1_accuracy"] = 1 - wrong // 2 / record["n_validation"]

    edit_records(folder, lower_errors)
    return folder


def test_pa_that_makes_every_run_better_supports_the_fourth_claim(far_better: Path) -> None:
    claim = claims(find(gather([str(far_better)])))[3]
    assert claim.word == "supported"
    assert claim.evidence.count("is less with pa in 8/8 (cell, initializer)") == 2
    assert claim.evidence.count(": better") == 2


def test_the_fourth_claim_takes_training_as_well_as_testing(far_better: Path) -> None:
    def worse_first(record: dict[str, Any]) -> None:
        if record["rewiring"] == "pa":
            record["epoch1_accuracy"] -= 0.3

    edit_records(far_better, worse_first)
    claim = claims(find(gather([str(far_better)])))[3]
    assert claim.word == "contradicted"
    assert "after one epoch is less with pa in 0/8 (cell, initializer)" in claim.evidence

    edit_records(far_better, lambda record: record.pop("epoch1_accuracy"))
    claim = claims(find(gather([str(far_better)])))[3]
    assert claim.word == "not shown"
    assert "Of training nothing is known" in claim.evidence


def test_an_initializer_that_fails_with_pa_is_named_and_leaves_the_fourth_claim_unshown(
    far_better: Path,
) -> None:
    def fail(record: dict[str, Any]) -> None:
        if record["treatment"] == "orthogonal+pa" and record["architecture"] == "net_2":
            record |= {"status": "diverged", "accuracy": None}

    edit_records(far_better, fail)
    found = find(gather([str(far_better)]))
    claim = claims(found)[3]
    assert claim.word == "not shown"
    assert "7/8 (cell, initializer), and not compared in 1 without three pairs" in claim.evidence
    assert "averaged over timm (orthogonal left out: fewer than three" in claim.evidence
    (row,) = next(table.rows for title, table in contrast_tables(found) if "averaged over" in title)
    assert "orthogonal left out" in row[2]
    assert row[6].endswith(", 1 left out")
    assert row[8:] == ("6/48", "0/48", "4 × 6")


@pytest.mark.parametrize(("seeds", "word"), [(1, "better"), (2, "better where it trains")])
def test_a_verdict_that_speaks_well_of_who_diverges_more_counts_the_failures(
    far_better: Path, tmp_path: Path, seeds: int, word: str
) -> None:
    def fail(record: dict[str, Any]) -> None:
        if record["treatment"] == "timm+pa" and record["seed"] < seeds:
            record |= {"status": "diverged", "accuracy": None}

    edit_records(far_better, fail)
    qualified = f"{word}, diverged {4 * seeds}/24 against 0/24"
    found = find(gather([str(far_better)]))
    verdicts = {row.treatment: row.verdict for row in ranking_rows(found)}
    assert verdicts["timm+pa"] == qualified
    assert verdicts["orthogonal+pa"] == "better"
    tables = dict(contrast_tables(found))
    (rows,) = (each.rows for title, each in tables.items() if "by initializer" in title)
    assert qualified in next(row for row in rows if row[0] == "timm+pa")
    publish([str(far_better)], str(tmp_path / "board"))
    early = readme_of(tmp_path / "board").partition("## Early training")[2]
    assert qualified in early
    assert f'<td class="v">{qualified}<' in (tmp_path / "board" / "index.html").read_text("utf-8")


def test_a_run_that_rewiring_gave_other_values_contradicts_the_third_claim(
    far_better: Path,
) -> None:
    def refuse(record: dict[str, Any]) -> None:
        if record["rewiring"] == "pa" and record["seed"] < 2:
            said = CHANGED_VALUES if record["seed"] else "is out of luck in"
            record |= {"status": "error", "accuracy": None, "message": f"UsageError: {said} conv"}

    edit_records(far_better, refuse)
    claim = claims(find(gather([str(far_better)])))[2]
    assert claim.word == "contradicted"
    assert "in each of 32 runs of pa that finished" in claim.evidence
    assert "as 8 did. Of 8 further runs without a result nothing is known." in claim.evidence


def test_recipes_that_set_aside_unlike_shares_for_validation_make_one_board(
    tmp_path: Path,
) -> None:
    folders = []
    for epochs, images in ((8, 500), (9, 300)):  # apart, so that trial ids are
        cells = [("digits", "plain_cnn", f"recipe_{epochs}")]
        treatments = ["timm", "orthogonal"]
        folder = write_results(tmp_path / f"{epochs}", treatments, cells, range(3), epochs=epochs)
        edit_records(folder, lambda record, n=images: record.update(n_validation=n))
        folders.append(str(folder))
    early = find(gather(folders)).early
    assert early is not None
    assert early.epoch1 is not None
    assert [row.treatment for row in early.epoch1.ranking] == ["orthogonal"]


def test_unfinished_boards_say_so(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "results", seeds=range(3), missing=7)
    publish([str(folder)], str(tmp_path / "board"))
    readme = readme_of(tmp_path / "board")
    assert "**Unfinished.** 7 trials of 108 have no record yet" in readme
    assert "7/108 trials have no result" in readme


def test_names_and_messages_stay_text_on_a_code_host(nasty: Path) -> None:
    readme = readme_of(nasty)
    html = MARKDOWN.render(readme)
    assert "<script" not in html
    assert "onerror=alert(1)>" not in html.replace("onerror=alert(1)&gt;", "")
    assert 'href="javascript' not in html
    images = re.findall(r'<img src="([^"]*)"', html)
    assert images
    assert all((nasty / image).is_file() for image in images)
    links = re.findall(r'href="([^"]*)"', html)
    assert all(link.startswith("https://arxiv.org/") or (nasty / link).is_file() for link in links)
    text = re.sub(r"<[^>]+>", "", html)
    for name in NASTY:
        assert plain(name).replace("<", "&lt;").replace(">", "&gt;") in text


def test_the_evidence_hash_is_that_of_the_sorted_records(board: Board, results: Path) -> None:
    lines = sorted((results / "records.jsonl").read_bytes().splitlines(keepends=True))
    assert hashlib.sha256(b"".join(lines)).hexdigest() in readme_of(board.folder)


def test_a_treatment_without_a_rank_shows_how_often_it_diverged(tmp_path: Path) -> None:
    folder = write_results(
        tmp_path / "results",
        ["timm", "orthogonal", "zeros"],
        seeds=range(3),
        statuses={"orthogonal": "diverged", "zeros": "error"},
    )
    out = tmp_path / "board"
    publish([str(folder)], str(out))
    readme = readme_of(out)
    assert re.search(r"\| orthogonal +\| +12/12 \| fewer than 3 pairs", readme)
    assert re.search(r"\| zeros +\| +0/0 \| fewer than 3 pairs", readme)
    failures = readme.partition("## Failures")[2].splitlines()
    assert failures[4].rstrip(" |").endswith("| Verdict")
    assert failures[2].endswith("it does not allow for the number of treatments.")
    assert "**diverges more**" in next(line for line in failures if line.startswith("| orthogonal"))
    page = (out / "index.html").read_text(encoding="utf-8")
    row = page.partition('<th scope="row">orthogonal')[2].partition("</tr>")[0]
    assert (
        '>unranked<td class="n">12/12<td class="n">– (0/12)<td class="n">24<td class="n">0/12'
        in row
    )


def test_a_treatment_without_a_rank_is_not_blamed_for_what_the_baseline_lacks(
    tmp_path: Path,
) -> None:
    treatments = ["timm", "orthogonal", "kaiming_normal"]
    folder = write_results(tmp_path, treatments, seeds=range(4))

    def lose(record: dict[str, Any]) -> None:
        place = [cell[:2] for cell in CELLS].index((record["dataset"], record["architecture"]))
        name, seed = record["treatment"], record["seed"]
        if name == "timm" and (place == 1 and seed < 2):
            record |= {"status": "lost", "accuracy": None}
        if name == "kaiming_normal" and (place in (1, 2) and seed < 3):
            record |= {"status": "diverged", "accuracy": None}

    edit_records(folder, lose)
    path = folder / "records.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    kept = [
        line
        for line in lines
        if (each := json.loads(line))["treatment"] != "timm" or each["dataset"] == "digits"
    ]
    path.write_text("".join(kept))
    assert dict(unranked_rows(find(gather([str(folder)])), plain)) == {
        "orthogonal": "fewer than 3 pairs, as timm has 2 ok runs, in digits / test_vit / short;"
        " no run of timm in fashion_mnist / test_resnet / short",
        "kaiming_normal": "fewer than 3 pairs in digits / plain_cnn / short; fewer than 3 pairs, as"
        " it has 1 and timm 2 ok runs, in digits / test_vit / short; no run of timm in"
        " fashion_mnist / test_resnet / short",
    }


def test_epochs_to_the_target_stand_beside_the_runs_that_reached_it(
    results: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    shutil.copytree(results, folder)

    def stall(record: dict[str, Any]) -> None:
        if record["treatment"] == "orthogonal" and record["seed"] > 0:
            record["curves"]["validation_accuracy"] = [0.1] * 8

    edit_records(folder, stall)
    board = publish([str(folder)], str(tmp_path / "board"))
    epochs = {row.treatment: row.epochs for row in ranking_rows(board.findings)}
    race = board.findings.races()["orthogonal"].overall
    assert epochs["orthogonal"] == f"×{race.median_ratio:.2f} (4/20)"
    assert epochs["timm"] == f"×1 ({race.reached_baseline}/20)"
    for name in ("README.md", "index.html"):
        text = (tmp_path / "board" / name).read_text(encoding="utf-8")
        assert "(reached, k/n)" in text
        assert epochs["orthogonal"] in text


@pytest.mark.parametrize(
    ("ratios", "shown"),
    [((0.0, 1.5), "0.00"), ((0.5, 2.0), "1.00"), ((None, 1.5), "1.50 (1/2 cells)")],
)
def test_a_treatment_that_never_varies_shows_no_spread(
    findings: Findings, ratios: tuple[float | None, ...], shown: str
) -> None:
    analysis = findings.analysis
    assert analysis
    rows = [row for row in analysis.comparisons if row.treatment == "orthogonal"]
    tested = tuple(
        replace(row, spread_sd_ratio=ratio, spread_t=-9.0, spread_p=0.0)
        for row, ratio in zip(rows, ratios, strict=False)
    )
    table = spread_table(replace(findings, analysis=replace(analysis, comparisons=tested)))
    cells = [cell.strip() for cell in table.splitlines()[-1].split("|")[1:-1]]
    assert cells == ["orthogonal", shown, "0/2", "2/2"]


def test_more_contrasts_than_were_allowed_for_are_said_to_be(tmp_path: Path) -> None:
    folder = write_results(
        tmp_path / "results", seeds=range(3), manifest={"contrast_families": {REWIRING: 4}}
    )
    found = dict(contrast_tables(find(gather([str(folder)]))))
    titles = [title for title in found if title.startswith("Each rewiring against none")]
    assert titles == [
        "Each rewiring against none, averaged over initializers (p allows for 2)",
        "Each rewiring against none, by initializer (p allows for 4; as 6 are tested, any verdict"
        " better or worse is wrong with a chance of at most 8 %)",
    ]


def test_recipes_that_differ_in_the_data_order_alone_tell_its_part(tmp_path: Path) -> None:
    folders = []
    for epochs, recipe in ((8, "fixed"), (9, "shuffled")):  # apart, so that trial ids are
        cells = [("digits", "plain_cnn", recipe)]
        treatments = ["timm", "orthogonal"]
        folder = write_results(tmp_path / recipe, treatments, cells, range(6), epochs=epochs)
        folders.append(str(folder))
    manifest = json.loads((folder / "grid.json").read_text())
    manifest["cells"][0]["recipe_content"]["data_seed"] = "per_seed"
    (folder / "grid.json").write_text(json.dumps(manifest))
    found = find(gather(folders))
    (note,) = data_order_notes(found)
    assert found.trials is not None
    order = data_order(found.trials, "fixed", "shuffled")
    assert order is not None
    assert order.share is not None
    part = "no part" if order.share <= 0 else f"{100 * order.share:.0f} %"
    assert f"follow the seed in the latter bring {part} of its variance" in note
    assert f"(df {order.degrees_of_freedom_per_seed}), averaged over 2 treatments" in note
    assert note in render_readme(found, Pictures(), "", "records.jsonl")

    manifest["cells"][0]["recipe_content"]["epochs"] = 9
    (folder / "grid.json").write_text(json.dumps(manifest))
    assert data_order_notes(find(gather(folders))) == []
