"""Where the time of a board goes: `python -m perf.board_phases SOURCE OUT`, as one line of JSON.

Publishes the board of SOURCE in OUT and prints the seconds of CPU time of every phase; `python -m
perf.board` runs this for synthetic records.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmark.garbage import without_garbage_collection

PHASES = {
    "gather": "reading, checking and sorting the records",
    "find": "statistics",
    "draw_plots": "plots",
    "render_page": "page, with every pair's comparison",
    "render_readme": "README.md",
    "mean_curves": "mean curves",
    "trials_csv": "trials.csv",
    "evidence_hash": "hash of the evidence",
    "_compressed": "compressing the records",
}
"""What the functions do that `benchmark.publishing.board` calls."""


def main() -> None:
    """Publish and print."""
    from benchmark.commands.boards import prepare_board

    prepare_board()
    board = importlib.import_module("benchmark.publishing.board")
    spent = {"start of Python and imports": time.process_time()}

    def timed(name: str) -> Callable[..., Any]:
        function = getattr(board, name)

        def call(*arguments: Any, **options: Any) -> Any:
            start = time.process_time()
            result = function(*arguments, **options)
            spent[PHASES[name]] = spent.get(PHASES[name], 0.0) + time.process_time() - start
            return result

        return call

    for name in PHASES:
        setattr(board, name, timed(name))
    without_garbage_collection()(board.publish)([sys.argv[1]], sys.argv[2])
    rest = time.process_time() - sum(spent.values())
    print(json.dumps(spent | {"everything else": rest}))


if __name__ == "__main__":
    main()
