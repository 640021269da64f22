"""What a driver says of itself while it runs: status.json, for readers on any machine."""

from __future__ import annotations

import json
from typing import Any

from benchmark.results.location import locate

STATUS = "status.json"
STATUS_SCHEMA = 1
"""Raised when the form of the status changes."""


def read_status(folder: str) -> dict[str, Any] | None:
    """Return what the last driver of a folder has said last; None if nothing that can be read."""
    data = locate(folder).read(STATUS)
    if not data:
        return None
    try:
        status = json.loads(data)
    except ValueError:
        return None
    known = isinstance(status, dict) and status.get("schema") == STATUS_SCHEMA
    return status if known else None
