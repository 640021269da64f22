"""`initbench submit`: a grid handed to a Ray cluster, and followed."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from benchmark.errors import FAILED, INTERRUPTED, UsageError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient


def submit(
    config: Path,
    *,
    address: str | None,
    out: str | None,
    changes: Sequence[str],
    plugins: Sequence[str],
    runtime_env: Path | None,
    detach: bool,
) -> int:
    """Upload what the grid takes, start it as a job and follow it; return the job's exit code."""
    from benchmark.config import load_config
    from benchmark.execution.provenance import COMMIT, commit
    from benchmark.execution.submission import connect, pack, send
    from benchmark.plugins import load_plugins

    # Whatever is wrong with the grid is said here, not in the log of a job.
    load_plugins(plugins)
    loaded = load_config(config, changes)
    arguments = [*(f"--set={change}" for change in changes), "--out", lasting(out)]
    client = connect(address)
    environment = _environment(runtime_env)
    if found := commit():
        environment.setdefault("env_vars", {}).setdefault(COMMIT, found)
    with tempfile.TemporaryDirectory() as folder:
        parcel = pack(Path(folder), config, loaded.plugins, plugins, arguments)
        job = send(
            client,
            shlex.join(parcel.command),
            {**environment, "working_dir": folder},
            loaded.name,
            lambda line: typer.echo(line, err=True),
        )
    typer.echo(f"job {job}")
    if detach:
        typer.echo(f"Follow it with: {_again(job, address)}")
        return 0
    return follow(client, job, address)


def resume(job: str, address: str | None) -> int:
    """Follow a job that was submitted earlier; return its exit code."""
    from benchmark.execution.submission import connect

    return follow(connect(address), job, address)


def follow(client: JobSubmissionClient, job: str, address: str | None) -> int:
    """Print what a job prints; Ctrl-C leaves it running."""
    from benchmark.execution import submission

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    try:
        status, code = submission.follow(
            client, job, write, lambda line: typer.echo(line, err=True)
        )
    except KeyboardInterrupt:
        typer.echo(
            f"\nThe job goes on. Follow it with: {_again(job, address)}\n"
            f"Stop it with: ray job stop {job}",
            err=True,
        )
        return INTERRUPTED
    if status == "SUCCEEDED":
        return 0
    typer.echo(f"job {job}: {status.lower()}", err=True)
    return code or FAILED


def lasting(out: str | None) -> str:
    """Return a results folder that outlives a job; raises UsageError for any other."""
    if out is None or not ("://" in out or Path(out).is_absolute()):
        written = "no --out" if out is None else f"--out {out}"
        raise UsageError(
            f"{written}: a job's working directory is deleted with the job, and relative folders"
            " in it. Write object storage, --out s3://bucket/run, or an absolute path on a disk"
            " that every node mounts, --out /shared/run"
        )
    return out


def _again(job: str, address: str | None) -> str:
    return shlex.join(
        ["initbench", "submit", "--follow", job, *(["--address", address] if address else [])]
    )


def _environment(file: Path | None) -> dict[str, Any]:
    import yaml

    if file is None:
        return {}
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read the runtime environment {file}: {error}") from error
    if not isinstance(found, dict) or "working_dir" in found:
        raise UsageError(
            f"{file} is no runtime environment of Ray: write keys such as pip or env_vars;"
            " working_dir is what submit uploads"
        )
    return found
