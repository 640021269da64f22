"""One run of `initbench run` whose phases are timed: what `perf.overhead` starts.

python -m perf.overhead_run CONFIG OUT MARKS.json [KEY=VALUE ...]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Run the config and write what happened when, in the seconds of `time.monotonic`."""
    from benchmark import cli
    from benchmark.execution import run
    from perf.overhead import Watched

    config, out, marks, *changes = sys.argv[1:]
    original, watched = run.make_executor, []

    def make_executor(*arguments: Any) -> Any:
        watched.append(Watched(original(*arguments)))
        return watched[-1]

    run.make_executor = make_executor  # type: ignore[assignment]
    sys.argv = ["initbench", "run", config, "--out", out]
    sys.argv += [f"--set={change}" for change in changes]
    try:
        cli.main()
    finally:
        Path(marks).write_text(json.dumps(watched[0].seen), encoding="utf-8")


if __name__ == "__main__":
    main()
