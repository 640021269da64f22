"""What produced a record, and when: versions, device, commit, the moment at which it was ready."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

COMMIT = "INITBENCH_COMMIT"
"""Names the commit where the code lies in no checkout: in a container, in a job's folder."""

PACKAGES = ("initbench", "torch", "torchvision", "timm", "numpy", "ray")


def provenance(device: torch.device) -> dict[str, Any]:
    """Return versions, the kind of device and host, the threads in use and the git commit."""
    import torch

    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "device_type": device.type,
        "host": f"{platform.system()} {platform.machine()}",
        "threads": torch.get_num_threads(),
        "commit": commit(),
    }


def moment() -> str:
    """Return the time of day in UTC, to the second (ISO 8601): a date for readers, not a clock."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(": ", 1)[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        return platform.processor() or platform.machine()


@cache
def commit() -> str | None:
    """Return the commit of the checkout that this code lies in, `-dirty` where it was changed."""
    if named := os.environ.get(COMMIT):
        return named
    folder = Path(__file__).parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        result = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None
