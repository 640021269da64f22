"""What travels with a job, and following it: without a cluster, by a client that plays one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmark.commands import submitting
from benchmark.errors import UsageError
from benchmark.execution import submission
from benchmark.execution.submission import follow, pack, send
from tests.conftest import Command

WriteConfig = Callable[..., Path]


@dataclass
class Status:
    name: str

    def is_terminal(self) -> bool:
        return self.name in ("SUCCEEDED", "FAILED", "STOPPED")

    def __str__(self) -> str:
        return self.name


class Client:
    """Answers every poll with the next of (status, log), or raises it."""

    def __init__(self, answers: Sequence[Any], code: int | None = 0) -> None:
        self._answers = list(answers)
        self._code = code
        self.submitted: dict[str, Any] = {}
        self.files: set[str] = set()

    def get_job_info(self, job: str) -> SimpleNamespace:
        if isinstance(self._answers[0], Exception):
            raise self._answers.pop(0)
        return SimpleNamespace(status=Status(self._answers[0][0]), driver_exit_code=self._code)

    def get_job_logs(self, job: str) -> str:
        return self._answers.pop(0)[1]

    def submit_job(self, **options: Any) -> str:
        self.submitted = options
        folder = Path(options["runtime_env"]["working_dir"])
        self.files = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}
        return "raysubmit_1"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "POLL_SECONDS", 0.0)


def test_a_broken_connection_is_taken_up_where_it_broke() -> None:
    written: list[str] = []
    notes: list[str] = []
    client = Client(
        [
            ("PENDING", ""),
            ("RUNNING", "one\n"),
            ConnectionError("reset"),
            ConnectionError("refused"),
            ("RUNNING", "one\ntwo\n"),
            ("FAILED", "one\ntwo\nthree\n"),
        ],
        code=2,
    )
    assert follow(client, "job", written.append, notes.append) == ("FAILED", 2)  # type: ignore[arg-type]
    assert "".join(written) == "one\ntwo\nthree\n"
    assert len(notes) == 1


def test_a_head_that_is_not_ready_yet_is_asked_again_and_a_refusal_is_said() -> None:
    notes: list[str] = []
    answers: list[Any] = [RuntimeError("status code 500: No available agent to submit job"), "job"]

    def submit_job(**options: Any) -> str:
        if isinstance(answer := answers.pop(0), Exception):
            raise answer
        return str(answer)

    client: Any = SimpleNamespace(submit_job=submit_job)
    assert send(client, "true", {}, "grid", notes.append) == "job"
    assert len(notes) == 1
    answers.append(RuntimeError("status code 400: the working_dir is too large"))
    with pytest.raises(UsageError, match="took no job: .*too large"):
        send(client, "true", {}, "grid", notes.append)


def test_a_server_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "PATIENCE_SECONDS", -1.0)
    with pytest.raises(UsageError, match="stays away"):
        follow(Client([ConnectionError("refused")]), "job", print, print)  # type: ignore[arg-type]


def test_a_parcel_runs_from_its_own_folder_and_holds_no_results(
    write_config: WriteConfig, tmp_path: Path
) -> None:
    beside = tmp_path / "mine.py"
    beside.write_text(PLUGIN.format(name="mine"), encoding="utf-8")
    elsewhere = tmp_path / "other" / "mine.py"
    elsewhere.parent.mkdir()
    elsewhere.write_text(PLUGIN.format(name="theirs"), encoding="utf-8")
    config = write_config(
        ("grid:", "plugins: [mine.py]\ngrid:"),
        ("[timm, kaiming_normal]", "[timm, mine, theirs]"),
    )
    folder = tmp_path / "parcel"
    folder.mkdir()
    parcel = pack(folder, config, ["mine.py"], [str(elsewhere)], [])
    names = {path.relative_to(folder).parts[0] for path in folder.rglob("*")}
    assert names == {"benchmark", "configs", "plugins"}
    assert not list(folder.rglob("*.pyc"))
    # submit reads config and plugins as run does, and then stops for want of --out: no timm.
    assert parcel.command[:4] == ("python", "-m", "benchmark", "run")
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", "submit", *parcel.command[4:]],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert "no --out" in done.stderr


def test_a_plugin_outside_of_the_configs_folder_is_refused(
    write_config: WriteConfig, tmp_path: Path
) -> None:
    config = write_config()
    with pytest.raises(UsageError, match="lies outside"):
        pack(tmp_path / "parcel", config, ["../far.py"], [], [])


@pytest.mark.parametrize("out", [None, "results/mine", "./here"])
def test_folders_that_a_job_would_lose_are_refused(
    command: Command, write_config: WriteConfig, out: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config()
    options = [] if out is None else ["--out", out]
    code, _, error = command("submit", config, "--address", "http://127.0.0.1:1", *options)
    assert code == 2
    assert "deleted with the job" in error
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    code, _, error = command("run", config, *options)
    assert code == 2
    assert "deleted with the job" in error


def test_a_job_gets_what_the_grid_takes_and_its_code_comes_back(
    command: Command, write_config: WriteConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client([("RUNNING", "a\n"), ("FAILED", "a\nb\n")], code=1)
    monkeypatch.setattr(submission, "connect", lambda address: client)
    environment = tmp_path / "env.yaml"
    environment.write_text("pip: [timm]\nenv_vars: {A: b}\n", encoding="utf-8")
    options = ["--out", "/shared/run", "--set", "recipe.epochs=1", "--runtime-env", environment]
    code, out, error = command("submit", write_config(), *options)
    assert code == 1
    assert out == "job raysubmit_1\na\nb\n"
    assert error == "job raysubmit_1: failed\n"
    assert client.submitted["entrypoint"] == (
        "python -m benchmark run configs/small.yaml --set=recipe.epochs=1 --out /shared/run"
    )
    assert client.submitted["runtime_env"]["pip"] == ["timm"]
    assert client.submitted["runtime_env"]["env_vars"]["A"] == "b"
    assert "benchmark/publishing/templates/README.md.j2" in client.files
    code, out, _ = command("submit", write_config(), "--out", "s3://b/run", "--detach")
    assert code == 0
    assert "initbench submit --follow raysubmit_1" in out


def test_a_wrong_grid_is_refused_before_anything_is_sent(
    command: Command, write_config: WriteConfig
) -> None:
    config = write_config(("kaiming_normal", "kaiming_norma"))
    code, _, error = command("submit", config, "--address", "http://127.0.0.1:1", "--out", "/x")
    assert code == 2
    assert "kaiming_normal" in error
    code, _, error = command(
        "submit", write_config(), "--address", "http://127.0.0.1:1", "--out", "/x"
    )
    assert code == 2
    assert "no job server at http://127.0.0.1:1" in error


def test_following_ends_with_ctrl_c_and_the_job_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = Client([])
    client.get_job_info = _raise  # type: ignore[method-assign]
    assert submitting.follow(client, "raysubmit_1", None) == 130  # type: ignore[arg-type]
    assert "ray job stop raysubmit_1" in capsys.readouterr().err


def _raise(job: str) -> SimpleNamespace:
    raise KeyboardInterrupt


PLUGIN = """\
from benchmark import initializer


@initializer("{name}", summary="small normal weights")
def fill(weight, layer, generator):
    weight.normal_(0.0, 0.01, generator=generator)
"""
