"""A grid as a job of a Ray cluster: what travels, and following it until its end."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import UsageError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

POLL_SECONDS = 2.0
PATIENCE_SECONDS = 600.0
"""A job server that does not answer for so long is given up; the job itself goes on."""

PLUGINS = "plugins"
CONFIGS = "configs"


@dataclass(frozen=True)
class Parcel:
    """A folder to upload, and the command that runs in it."""

    folder: Path
    command: tuple[str, ...]


def pack(
    folder: Path,
    config: Path,
    config_plugins: Sequence[str],
    plugins: Sequence[str],
    arguments: Sequence[str],
) -> Parcel:
    """Put this package, a config and plugin files into an empty folder.

    Neither data nor results travel. Plugins that are importable modules are expected on the
    cluster. Raises UsageError for files that are not there, and for plugins of the config that do
    not lie beside or below it.
    """
    package = Path(__file__).parents[1]
    shutil.copytree(
        package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
    )
    _copy(config, folder / CONFIGS / config.name)
    for name in config_plugins:
        if name.endswith(".py"):
            target = (folder / CONFIGS / name).resolve()
            if not target.is_relative_to((folder / CONFIGS).resolve()):
                raise UsageError(
                    f"the plugin {name!r} of {config} lies outside of the config's folder; move it"
                    " there, or name it with --plugin"
                )
            _copy(config.parent / name, target)
    named = []
    for at, name in enumerate(plugins):
        if name.endswith(".py"):
            own = f"{PLUGINS}/{at}/{Path(name).name}"
            _copy(Path(name), folder / own)
            named.append(own)
        else:
            named.append(name)
    command = ["python", "-m", package.name, "run", f"{CONFIGS}/{config.name}"]
    for name in named:
        command += ["--plugin", name]
    return Parcel(folder, (*command, *arguments))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror}") from error


def connect(address: str | None) -> JobSubmissionClient:
    """Return the client of a cluster's job server; raises UsageError where none answers."""
    try:
        from ray.job_submission import JobSubmissionClient

        return JobSubmissionClient(address)
    except ImportError as error:
        raise UsageError("submitting takes Ray's job client: pip install 'ray[default]'") from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = address or "RAY_API_SERVER_ADDRESS"
        raise UsageError(
            f"no job server at {where}: {str(error).strip().splitlines()[0]} Write the head's"
            " dashboard, as in --address http://127.0.0.1:8265 (through an ssh tunnel, and with"
            " RAY_AUTH_MODE=token if the cluster asks for a token)"
        ) from error


def send(
    client: JobSubmissionClient,
    command: str,
    environment: dict[str, Any],
    name: str,
    notify: Callable[[str], None],
) -> str:
    """Start a command as a job and return its id.

    A head that has only just been started is waited for. Raises UsageError where none is taken.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return client.submit_job(
                entrypoint=command, runtime_env=environment, metadata={"initbench": name}
            )
        except (RuntimeError, OSError) as error:
            # Ray's own words, and it has none but a status of 500 besides.
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise UsageError(f"the job server took no job: {error}") from error
            notify("The cluster's head is not ready for jobs yet. Trying again.")
        time.sleep(POLL_SECONDS)


def follow(
    client: JobSubmissionClient,
    job: str,
    write: Callable[[str], None],
    notify: Callable[[str], None],
) -> tuple[str, int | None]:
    """Write what a job prints until it ends; return its status and exit code.

    A connection that breaks is taken up again where it broke. Raises UsageError for a job that
    the cluster does not know, or a server that stays away.
    """
    written, silent_since = 0, None
    while True:
        try:
            details: Any = client.get_job_info(job)
            text = client.get_job_logs(job)
        except RuntimeError as error:
            raise UsageError(f"no job {job}: {error}") from error
        except OSError as error:
            now = time.monotonic()
            if silent_since is None:
                silent_since = now
                notify("The job server does not answer; the job goes on. Trying again.")
            if now - silent_since > PATIENCE_SECONDS:
                raise UsageError(f"the job server stays away: {error}") from error
            time.sleep(POLL_SECONDS)
            continue
        silent_since = None
        write(text[written:])
        written = max(written, len(text))
        if details.status.is_terminal():
            return str(details.status), details.driver_exit_code
        time.sleep(POLL_SECONDS)
