"""Hostile bytes for the readers of configs and records: only errors for people may come of them.

`python -m perf.fuzz --seconds 120` prints how many inputs each reader was given.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.config import GridConfig, load_config
from benchmark.document import write_yaml
from benchmark.errors import UsageError
from benchmark.results.frame import load_records
from benchmark.results.merge import read_offer

CONFIG = Path(__file__).parents[1] / "configs" / "quickstart.yaml"
BATCH = 200

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
KEYS = st.sampled_from([*GridConfig.model_fields, "seeds", "epochs", "trial", "schema"]) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=20
)
RECORD_KEYS = st.sampled_from(
    ["schema", "trial", "content", "status", "seed", "accuracy", "curves"]
)
RECORDS = st.dictionaries(RECORD_KEYS, VALUES).map(lambda value: json.dumps(value).encode())
SPLICES = st.tuples(st.integers(0, 2000), st.integers(0, 50), st.binary(max_size=50))


def spliced(data: bytes, splice: tuple[int, int, bytes]) -> bytes:
    """Return data with some of its bytes replaced."""
    start, length, new = splice
    return data[:start] + new + data[start + length :]


def attack(seconds: float, inputs: st.SearchStrategy[bytes], read: Callable[[bytes], None]) -> int:
    """Give a reader inputs for so long; return how many."""
    count = 0

    @settings(max_examples=BATCH, deadline=None, database=None, suppress_health_check=HealthCheck)
    @given(inputs)
    def once(data: bytes) -> None:
        nonlocal count
        count += 1
        with contextlib.suppress(UsageError):
            read(data)

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        once()
    return count


def main() -> None:
    """Run every attack for an equal share of the time and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    seconds = parser.parse_args().seconds / 3
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)

        def config(data: bytes) -> None:
            (at / "config.yaml").write_bytes(data)
            load_config(at / "config.yaml", [])

        def records(data: bytes) -> None:
            (at / "records.jsonl").write_bytes(data + b"\n")
            for read in (load_records, read_offer):
                with contextlib.suppress(UsageError):
                    read(str(at))

        def manifest(data: bytes) -> None:
            (at / "grid.json").write_bytes(data)
            records(b"{}")

        declared: dict[str, object] = {
            key: [] for key in ("contrasts", "seeds", "cells", "treatments", "trials")
        }
        declared |= {
            "schema": 1,
            "protocol": 2,
            "name": "x",
            "baseline": "timm",
            "family": 1,
            "config": {},
        }
        declared |= {"margin": 0.05, "target": 0.005}
        good = CONFIG.read_bytes()
        configs = SPLICES.map(lambda splice: spliced(good, splice)) | st.dictionaries(
            KEYS, VALUES
        ).map(lambda value: write_yaml(value).encode(errors="replace"))
        print("configs", attack(seconds, configs, config))
        text = json.dumps(declared).encode()
        (at / "grid.json").write_bytes(text)
        print("records", attack(seconds, RECORDS | st.binary(max_size=200), records))
        manifests = SPLICES.map(lambda splice: spliced(text, splice)) | st.dictionaries(
            st.sampled_from(list(declared)), VALUES
        ).map(lambda value: json.dumps({**declared, **value}).encode())
        print("manifests", attack(seconds, manifests, manifest))


if __name__ == "__main__":
    main()
