"""`initbench compare`: the worked cases as JSON, the page at 80 columns, and wrong use in words."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from benchmark.statistics import analyse
from tests.conftest import Command
from tests.publishing.synthetic import write_results
from tests.statistics.test_worked_cases import differences

CASES = Path(__file__).parents[1] / "statistics" / "statistics_cases.json"


def worked_case(name: str, folder: Path) -> tuple[dict[str, Any], Path]:
    cases = json.loads(CASES.read_text(encoding="utf-8"))["tables"]
    case = next(case for case in cases if case["name"] == name)
    path = folder / f"{name}.csv"
    pd.DataFrame(case["rows"], columns=case["columns"]).to_csv(path, index=False)
    return case, path


def squeezed(out: str) -> str:
    """The text without line ends, as a reader takes it in."""
    return " ".join(out.split())


@pytest.mark.parametrize("name", ["one_cell", "twelve_seeds", "grid_3x2", "grid_4x3"])
def test_json_of_a_table_is_the_worked_case(command: Command, tmp_path: Path, name: str) -> None:
    case, path = worked_case(name, tmp_path)
    code, out, _ = command(
        *("compare", "--records", path, "--json", "--baseline", case["baseline"]),
        *("--family", case["family"], "--margin", case["margin"], "--target", case["target"]),
    )
    assert code == 0
    assert differences(json.loads(out), case["expected"]) == []


def test_json_of_two_treatments_is_their_part_of_the_whole(
    command: Command, tmp_path: Path, small_table: pd.DataFrame
) -> None:
    path = tmp_path / "table.csv"
    small_table.to_csv(path, index=False)
    _, out, _ = command("compare", "orthogonal", "timm", "--records", path, "--json")
    whole = analyse(small_table, "timm").to_dict()
    found = json.loads(out)
    for part in ("comparisons", "ranking"):
        mine = [dict(row) for row in whole[part] if row["treatment"] == "orthogonal"]
        for row in (*mine, *found[part]):
            for depends_on_others in ("rank", "p_holm"):
                row.pop(depends_on_others, None)
        assert differences(found[part], mine) == []
    assert [row["treatment"] for row in found["failures"]] == ["timm", "orthogonal"]


def test_page_has_the_numbers_of_the_worked_case(command: Command, tmp_path: Path) -> None:
    case, path = worked_case("grid_3x2", tmp_path)
    code, out, err = command("compare", "orthogonal+pa", "timm", "--records", path)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    row = next(row for row in case["expected"]["ranking"] if row["treatment"] == "orthogonal+pa")
    text = squeezed(out)
    minus = {"-": "−"}
    low, high = (
        f"{row[key]:.1f}".translate(str.maketrans(minus)) for key in ("low_percent", "high_percent")
    )
    assert f"[{low}, {high}] %, over data sets like these, on these architectures" in text
    assert f"p {row['p']:.3f}; {row['p_family']:.3f} allowing for 5 comparisons" in text
    assert "verdict A is better" in text
    assert "Early training" not in text
    paper = text.partition("For a paper")[2]
    for words in ("6 cells", "5 seeds each (30 pairs", f"[{low}, {high}] %", "initbench 0."):
        assert words in paper


def test_a_row_of_the_page_is_the_paired_t_test_and_swapping_flips_it(
    command: Command, tmp_path: Path, small_table: pd.DataFrame
) -> None:
    path = tmp_path / "table.csv"
    small_table.to_csv(path, index=False)
    own = small_table[small_table["architecture"] == "vit"]
    arms = own.pivot_table(index="seed", columns="treatment", values="accuracy")
    test = stats.ttest_1samp(100 * (arms["orthogonal"] - arms["timm"]), 0)
    low, high = test.confidence_interval()
    for first, second, sign in (("orthogonal", "timm", 1), ("timm", "orthogonal", -1)):
        _, out, _ = command("compare", first, second, "--records", path)
        line = next(line for line in out.splitlines() if line.startswith("vit"))
        values = [float(each.replace("−", "-")) for each in re.findall(r"[−+]?\d+\.\d\d", line)]
        ends = sorted((sign * low, sign * high))
        expected = [100 * arms[first].mean(), 100 * arms[second].mean()]
        expected += [sign * 100 * (arms["orthogonal"] - arms["timm"]).mean(), *ends]
        assert values[:5] == pytest.approx(expected, abs=0.0051)
        assert line.rstrip().endswith("6/6")


def test_early_training_comes_from_a_folder_and_from_a_table_that_has_it(
    command: Command, tmp_path: Path, small_table: pd.DataFrame
) -> None:
    folder = write_results(tmp_path / "results")
    code, out, _ = command("compare", "orthogonal+pa", "--records", folder)
    assert code == 0
    assert "B         timm" in out
    assert "allowing for 8 comparisons" in squeezed(out)
    assert all(
        words in out for words in ("error after epoch 1", "mean over epochs", "epochs to target")
    )
    assert "the verdicts allow for 8 comparisons" in squeezed(out)
    assert max(map(len, out.splitlines())) <= 80
    path = tmp_path / "table.csv"
    small_table["epochs_to_target"] = [
        2 + (name == "timm") if seed else None
        for name, seed in zip(small_table["treatment"], small_table["seed"], strict=True)
    ]
    small_table.to_csv(path, index=False)
    _, out, _ = command("compare", "orthogonal", "timm", "--records", path)
    assert "A first in 15, B in 0, ties 3 of 18 pairs; reached by A 15/18" in squeezed(out)
    assert "epoch 1" not in out


def test_the_target_of_a_race_is_the_reference_s_own(command: Command, tmp_path: Path) -> None:
    folder = write_results(tmp_path / "results")
    races = []
    for reference in ("timm", "orthogonal"):
        _, out, _ = command("compare", "kaiming_normal", reference, "--records", folder)
        races.append(re.search(r"A first in .*", out))
    assert all(races)
    assert races[0][0] != races[1][0]  # type: ignore[index]


def test_names_are_found_in_any_spelling_and_shown_as_they_are(
    command: Command, tmp_path: Path, small_table: pd.DataFrame
) -> None:
    path = tmp_path / "table.csv"
    small_table.to_csv(path, index=False)
    code, out, _ = command("compare", "orthogonal( gain=1.0 )", "timm+none", "--records", path)
    assert code == 0
    assert "A         orthogonal " in out
    code, out, _ = command("compare", "mine[bold]|x", "timm", "--records", path)
    assert code == 0
    assert "A         mine[bold]|x" in out


def test_several_tables_are_one(
    command: Command, tmp_path: Path, small_table: pd.DataFrame
) -> None:
    whole, first, second = (tmp_path / f"{name}.csv" for name in ("whole", "first", "second"))
    half = small_table["treatment"] == "timm"
    parts = (whole, small_table), (first, small_table[half]), (second, small_table[~half])
    for path, rows in parts:
        rows.to_csv(path, index=False)
    _, expected, _ = command("compare", "--records", whole, "--json")
    _, found, _ = command("compare", "--records", first, "--records", second, "--json")
    assert json.loads(found) == json.loads(expected)


def test_of_several_tables_the_bad_one_is_named_with_its_own_row(
    command: Command, tmp_path: Path, small_table: pd.DataFrame
) -> None:
    half = small_table["treatment"] == "timm"
    small_table[half].to_csv(tmp_path / "good.csv", index=False)
    bad = small_table[~half].reset_index(drop=True)
    bad.loc[3, "status"] = "fine"
    bad.to_csv(tmp_path / "bad.csv", index=False)
    sources = ("--records", "good.csv", "--records", "bad.csv")
    code, _, err = command("compare", "orthogonal", *sources)
    assert code == 2
    assert "bad.csv: row 3 (" in err
    assert "good.csv" not in err
    small_table.to_csv(tmp_path / "bad.csv", index=False)
    code, _, err = command("compare", "orthogonal", *sources)
    assert (code, "good.csv + bad.csv" in err, "more than once" in err) == (2, True, True)


def test_a_treatment_that_only_diverges_is_compared_by_that(
    command: Command, tmp_path: Path
) -> None:
    folder = write_results(
        tmp_path / "results",
        ("timm", "zeros"),
        seeds=range(6),
        statuses={"zeros": "diverged"},
    )
    code, out, _ = command("compare", "zeros", "timm", "--records", folder)
    assert code == 0
    text = squeezed(out)
    assert "A 24/24, B 0/24 runs; A alone in 24 pairs, B alone in 0 pairs, exact p < 0.001" in text
    assert "no verdict fewer than 3 pairs" in text
    assert "24/24 runs of zeros and 0/24 runs of timm diverged" in text


def test_a_lacking_cell_takes_the_verdict_unless_common_cells_are_asked_for(
    command: Command, tmp_path: Path, small_table: pd.DataFrame
) -> None:
    lacking = (small_table["architecture"] == "vit") & (small_table["treatment"] == "orthogonal")
    path = tmp_path / "table.csv"
    small_table[~lacking].to_csv(path, index=False)
    code, out, _ = command("compare", "orthogonal", "timm", "--records", path)
    assert code == 0
    assert "fewer than 3 pairs in digits / vit / short; --common compares" in squeezed(out)
    _, out, _ = command("compare", "orthogonal", "timm", "--records", path, "--common")
    assert "A is better" in out
    assert "Left out, because not both have runs there: digits / vit / short" in squeezed(out)
    assert "In 2 cells" in out
    _, out, _ = command("compare", "timm", "orthogonal", "--records", path)
    assert "A is worse" in out
    assert "Left out, because B has no runs there: digits / vit / short" in squeezed(out)


def test_no_verdict_says_what_would_have_been_seen_and_what_would_settle_it(
    command: Command, tmp_path: Path, small_table: pd.DataFrame
) -> None:
    path = tmp_path / "table.csv"
    small_table.to_csv(path, index=False)
    _, out, _ = command("compare", "mine[bold]|x", "timm", "--records", path)
    text = squeezed(out)
    assert "no difference shown" in text
    assert re.search(r"over the cells a change of the error by −\d", text)
    assert re.search(r"to show 0.50 points \d+ seeds for the mean over these cells", text)
    _, out, _ = command("compare", "orthogonal", "timm", "--records", path)
    assert "to settle it no more seeds" in squeezed(out)


def one_seed(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["seed"] == 0]


def no_common_cell(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["treatment"] == "timm") == (table["architecture"] == "mlp")]


def percentages(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(accuracy=100 * table["accuracy"])


@pytest.mark.parametrize(
    ("change", "arguments", "words"),
    [
        (None, ["orthgonal", "timm"], ["'orthgonal'", "did you mean 'orthogonal'"]),
        (None, ["timm", "timm"], ["named twice"]),
        (None, [], ["name two treatments", "orthogonal and timm", "--json"]),
        (None, ["orthogonal", "timm", "--family", "0"], ["--family 0"]),
        (None, ["orthogonal", "timm", "--margin", "5"], ["--margin 5", "share"]),
        (one_seed, ["orthogonal", "timm"], ["no more than 1 pair", "takes 3"]),
        (no_common_cell, ["orthogonal", "timm"], ["no cell in common", "digits / mlp / short"]),
        (percentages, ["orthogonal", "timm"], ["table.csv", "shares, not percentages"]),
        (lambda t: t.drop(columns="n_test"), ["orthogonal"], ["lacks 'n_test'", "table.csv"]),
        (lambda t: t.assign(status="fine"), ["orthogonal"], ["unknown status 'fine'"]),
    ],
)
def test_wrong_use_is_explained(
    command: Command, tmp_path: Path, small_table: pd.DataFrame, change, arguments, words
) -> None:
    path = tmp_path / "table.csv"
    (change(small_table) if change else small_table).to_csv(path, index=False)
    code, out, err = command("compare", *arguments, "--records", path)
    assert (code, out) == (2, "")
    assert all(word in err for word in words), err


def test_sources_that_are_not_there_are_named(command: Command, tmp_path: Path) -> None:
    for source in ("absent", "absent.csv"):
        code, _, err = command("compare", "a", "b", "--records", source)
        assert code == 2
        assert "absent" in err
    (tmp_path / "torn.csv").write_bytes(b"\xff\xfe\x00")
    code, _, err = command("compare", "a", "b", "--records", "torn.csv")
    assert (code, "torn.csv" in err) == (2, True)
    assert command("compare", "a", "b")[0] == 2


def test_commands_that_read_records_load_nothing_that_trains_or_draws(
    tmp_path: Path, small_table: pd.DataFrame, write_config: Callable[..., Path]
) -> None:
    folder = write_results(tmp_path / "results")
    table = tmp_path / "table.csv"
    small_table.to_csv(table, index=False)
    commands = [
        ["compare", "orthogonal", "timm", "--records", folder],
        ["compare", "orthogonal", "timm", "--records", table],
        ["plan", "--seeds", "--records", folder],
        ["plan", write_config(), "--seeds", "--out", folder],
        ["merge", folder, "--into", tmp_path / "all", "--dry-run"],
    ]
    code = (
        "import json, sys\n"
        "from benchmark.cli import app\n"
        "for command in json.loads(sys.argv[1]):\n"
        "    app(command, standalone_mode=False)\n"
        "heavy = {'torch', 'timm', 'ray', 'matplotlib', 'sklearn', 'statsmodels'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands, default=str)],
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
