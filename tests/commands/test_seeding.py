"""`initbench plan --seeds`: planned numbers against the tables of the statistics, and wrong use."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from tests.conftest import Command
from tests.publishing.synthetic import write_results


def squeezed(out: str) -> str:
    return " ".join(out.split())


def power(n: int, d_z: float, alpha: float) -> float:
    """The power of the two-sided paired t-test, by SciPy's distribution itself."""
    return float(stats.nct.sf(stats.t.ppf(1 - alpha / 2, n - 1), n - 1, d_z * n**0.5))


def test_an_assumed_sd_gives_the_published_number_of_seeds(command: Command) -> None:
    code, out, err = command("plan", "--seeds", "--effect", "0.005", "--sd", "0.01")
    assert (code, err) == (0, "")
    assert "It takes 34 seeds" in out
    rows = [line.split()[:2] for line in out.splitlines() if re.match(r" +\d+ ", line)]
    assert rows == [["5", "1.682"], ["10", "0.996"], ["30", "0.529"]]
    assert "errs in 12.5 %" in squeezed(out)
    assert max(map(len, out.splitlines())) <= 80


def test_family_and_power_make_the_test_stricter(command: Command) -> None:
    arguments = ("--effect", 0.01, "--sd", 0.01, "--family", 20, "--power", 0.9)
    _, out, _ = command("plan", "--seeds", *arguments, "--json")
    found = json.loads(out)
    assert found["alpha"] == 0.0025
    seeds = found["assumed"]["seeds"]
    assert power(seeds, 1.0, 0.0025) >= 0.9 > power(seeds - 1, 1.0, 0.0025)
    _, out, _ = command("plan", "--seeds", *arguments)
    assert "5 4.3" in squeezed(out)
    assert "0.05/20, one of 20 comparisons; power 90 %" in squeezed(out)


def test_a_pair_is_planned_per_cell_from_its_own_differences(
    command: Command, tmp_path: Path, small_table: pd.DataFrame
) -> None:
    path = tmp_path / "table.csv"
    small_table.to_csv(path, index=False)
    arguments = ("plan", "--seeds", "--records", path, "--pair", "orthogonal", "timm")
    _, out, _ = command(*arguments, "--effect", "0.004", "--family", "1", "--json")
    (pilot,) = json.loads(out)["pilots"]
    assert [cell["cell"][1] for cell in pilot["per_cell"]] == ["mlp", "resnet", "vit"]
    for cell in pilot["per_cell"]:
        own = small_table[small_table["architecture"] == cell["cell"][1]]
        arms = own.pivot_table(index="seed", columns="treatment", values="accuracy")
        sd = (arms["orthogonal"] - arms["timm"]).std()
        seeds = cell["plan"]["seeds"]
        assert cell["plan"]["sd"] == pytest.approx(sd)
        assert power(seeds, 0.004 / sd, 0.05) >= 0.8 > power(seeds - 1, 0.004 / sd, 0.05)
        assert cell["plan"]["seeds_cautious"] > seeds
        assert cell["plan"]["at_hand"]["seeds"] == 6
    code, out, _ = command(*arguments, "--effect", "0.004")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    text = squeezed(out)
    assert "orthogonal beats timm by 0.40 points" in text
    needed = pilot["over_cells"]
    over = next(line for line in out.splitlines() if line.startswith("mean over all cells"))
    assert f"{100 * needed['sd']:.2f}" in over.split()
    assert re.search(r"seeds x 3 cells x 2 treatments = [\d,]+ trainings", text)


def test_without_a_pair_every_treatment_is_planned_and_the_total_is_the_hardest(
    command: Command, tmp_path: Path
) -> None:
    folder = write_results(
        tmp_path / "results", ("timm", "orthogonal", "zeros"), statuses={"zeros": "diverged"}
    )
    _, out, _ = command("plan", "--seeds", "--records", folder, "--json")
    found = json.loads(out)
    assert (found["family"], found["difference"]) == (2, 0.005)
    pilots = {pilot["treatment"]: pilot for pilot in found["pilots"]}
    assert pilots["zeros"]["over_cells"] is None
    needed = pilots["orthogonal"]["over_cells"]["seeds_cautious"]
    code, out, _ = command("plan", "--seeds", "--records", folder)
    assert code == 0
    total = f"{needed} seeds x 4 cells x 3 treatments = {12 * needed:,} trainings"
    assert total in squeezed(out)
    assert "Not planned, for want of 3 pairs in some cell: zeros." in squeezed(out)


def test_a_config_stands_for_the_records_of_its_results_folder(
    command: Command, write_config, tmp_path: Path
) -> None:
    config = write_config()
    code, _, err = command("plan", config, "--seeds")
    assert code == 2
    assert "results/small has no records of a pilot" in err
    write_results(tmp_path / "results" / "small")
    code, out, _ = command("plan", config, "--seeds")
    assert code == 0
    assert "Pilot: results/small;" in out
    write_results(tmp_path / "elsewhere", ("timm", "orthogonal"))
    _, out, _ = command("plan", config, "--seeds", "--out", "elsewhere")
    assert "Pilot: elsewhere;" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["CONFIG", "--seeds"]),
        (["--effect", "0.01"], ["--effect belongs to plan --seeds"]),
        (["small.yaml", "--pair", "a", "b"], ["--pair belongs to plan --seeds"]),
        (["--seeds"], ["--records", "--sd 0.01"]),
        (["--seeds", "--sd", "1.5"], ["--sd 1.5", "share"]),
        (["--seeds", "--sd", "0.01", "--effect", "0"], ["--effect 0"]),
        (["--seeds", "--sd", "0.01", "--power", "80"], ["--power 80"]),
        (["--seeds", "--sd", "0.01", "--family", "0"], ["--family 0"]),
        (["--seeds", "--sd", "0.01", "--records", "table.csv"], ["give either"]),
        (["--seeds", "--records", "table.csv", "--pair", "timm", "timm"], ["named twice"]),
        (["--seeds", "--records", "table.csv", "--pair", "orthognal", "timm"], ["'orthogonal'"]),
        (["--seeds", "--records", "pair.csv"], ["three pairs", "--sd"]),
    ],
)
def test_wrong_use_is_explained(
    command: Command, small_table: pd.DataFrame, tmp_path: Path, arguments, words
) -> None:
    small_table.to_csv(tmp_path / "table.csv", index=False)
    small_table[small_table["seed"] < 2].to_csv(tmp_path / "pair.csv", index=False)
    code, out, err = command("plan", *arguments)
    assert (code, out) == (2, "")
    assert all(word in err for word in words), err
