"""`initbench reproduce`: exit codes and words for the same, for nearly the same, and for others."""

from __future__ import annotations

import gzip
import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from benchmark.execution.reproduce import run_again
from benchmark.grid import Cohort
from benchmark.treatment import parse_treatment
from benchmark.trial import Trial, content_id
from tests.conftest import Command, make_cell
from tests.results.believable import write_folder


@pytest.fixture(scope="module")
def trained() -> dict[str, Any]:
    """The record of a trial that was trained just now."""
    trial = Trial(make_cell(learning_rate=0.03), parse_treatment("kaiming_normal+pa"), 1)
    made = run_again(Cohort((trial,)), trial, device="cpu", threads=1, data_dir=None)
    assert made.status == "ok"
    return json.loads(made.to_json())


def squeezed(out: str) -> str:
    return " ".join(out.split())


def test_a_record_of_this_machine_comes_out_bit_for_bit(
    command: Command, tmp_path: Path, trained: dict[str, Any]
) -> None:
    write_folder(tmp_path / "results", [trained])
    code, out, err = command("reproduce", trained["trial"][:6], "--records", "results")
    assert (code, err) == (0, "")
    text = squeezed(out)
    assert f"The same result (accuracy {trained['accuracy']}), and every number is" in text
    assert "are those of the record" in text
    assert max(map(len, out.splitlines())) <= 80
    data = (tmp_path / "results" / "records.jsonl").read_bytes()
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "records.jsonl.gz").write_bytes(gzip.compress(data))
    assert command("reproduce", trained["trial"], "--records", "board", "--device", "cpu")[0] == 0


def test_another_accuracy_is_exit_code_1_and_what_differs_is_shown(
    command: Command, tmp_path: Path, trained: dict[str, Any]
) -> None:
    n_test = trained["n_test"]
    other = json.loads(json.dumps(trained))
    other["accuracy"] = (round(trained["accuracy"] * n_test) - 2) / n_test
    other["curves"]["train_loss"][1] += 0.25
    other["provenance"]["versions"]["torch"] = "1.0[bold]"
    siblings = []
    for seed, correct in ((7, 10), (8, 12)):
        content = {**trained["content"], "seed": seed}
        names = {"trial": content_id(content), "content": content, "seed": seed}
        siblings.append({**trained, **names, "accuracy": other["accuracy"] + correct / n_test})
    write_folder(tmp_path / "results", [other, *siblings])
    code, out, _ = command("reproduce", other["trial"], "--records", "results")
    assert code == 1
    text = squeezed(out)
    points, sd = 100 * 2 / n_test, 100 * statistics.stdev((0, 10, 12)) / n_test
    assert f"That is {points:.2f} points; over the 3 seeds" in text
    assert f"in this cell the sd is {sd:.2f}." in text
    assert f"2 of {n_test} images apart" in text
    assert "curve of train loss 1/2 0.250" in text
    assert "torch 1.0[bold]" in text
    assert max(map(len, out.splitlines())) <= 80


def test_the_same_accuracy_with_other_losses_is_exit_code_0_and_said(
    command: Command, tmp_path: Path, trained: dict[str, Any]
) -> None:
    other = {**trained, "test_loss": trained["test_loss"] + 1e-7}
    write_folder(tmp_path / "results", [other])
    code, out, _ = command("reproduce", other["trial"], "--records", "results")
    assert code == 0
    text = squeezed(out)
    assert "but other numbers differ" in text
    assert "Bit for bit the same: accuracy," in text
    assert "test loss 1/1" in text


def test_another_end_is_exit_code_1(
    command: Command, tmp_path: Path, trained: dict[str, Any]
) -> None:
    write_folder(tmp_path / "results", [{**trained, "status": "error", "accuracy": None}])
    code, out, _ = command("reproduce", trained["trial"], "--records", "results")
    assert code == 1
    assert "It ended as ok here, as error in the record." in squeezed(out)


def test_wrong_use_is_explained(command: Command, tmp_path: Path, trained: dict[str, Any]) -> None:
    mine = json.loads(json.dumps(trained))
    mine["content"]["treatment"]["plugins"] = {"mine": "0" * 16}
    write_folder(tmp_path / "results", [mine])
    for arguments, words in (
        (["zz", "--records", "results"], "'zz'"),
        ([trained["trial"], "--records", "absent"], "absent has no records"),
        ([trained["trial"], "--records", "results"], "--plugin FILE"),
        ([trained["trial"], "--records", "results", "--plugin", "absent.py"], "absent.py"),
        ([trained["trial"]], "--records"),
    ):
        code, _, err = command("reproduce", *arguments)
        assert (code, words in err) == (2, True), err
