"""What produced a measurement: versions, processor, load."""

from __future__ import annotations

import os
from typing import Any

from benchmark.execution.provenance import provenance


def versions() -> dict[str, Any]:
    """Return versions, host and commit, the cores of this process and the load of the machine."""
    import torch

    found = provenance(torch.device("cpu"))
    return {**found, "cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0]}
