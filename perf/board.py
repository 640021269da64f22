"""What a large board costs: `python -m perf.board [--quick]`.

Runs `initbench board` on synthetic records (40 treatments x 25 cells x 100 seeds, or 5 seeds with
--quick), a second time with another hash seed, time zone, locale and working directory, and
compares the bytes. Prints a markdown table: wall time, CPU time in user mode and peak memory from
the start of Python on, beside them as a yardstick what it takes the machine to read every line with
json.loads; the size of the page, and its first paint in Chromium, where that and playwright are
installed; and the least of five builds of a small board, leaderboard/digits. A second table, from
one more build of each, says where the time goes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from tests.publishing.synthetic import write_results

ROOT = Path(__file__).parents[1]
PUBLISH = ("-m", "benchmark", "board", "--out")
PARSE = (
    "-c",
    "import json, sys; [json.loads(each)['trial'] for each in open(sys.argv[1])]",
)
PUBLISHED = ROOT / "leaderboard" / "digits"
ELSEWHERE = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
VISITS = 5


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds on the clock and of CPU in user mode, peak memory in GB."""

    wall: float
    user: float
    memory: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="5 seeds instead of 100")
    seeds = 5 if parser.parse_args().quick else 100
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = synthetic_results(folder / "results", seeds)
        size = (results / "records.jsonl").stat().st_size
        yardstick = measured(PARSE, [results / "records.jsonl"], folder, {})
        cost = measured(PUBLISH, [folder / "board", results], folder, {})
        phases = phases_of(results, folder / "phases")
        of_small = phases_of(PUBLISHED, folder / "phases-small")
        (folder / "elsewhere").mkdir()
        measured(PUBLISH, [folder / "again", results], folder / "elsewhere", ELSEWHERE)
        small = [
            measured(PUBLISH, [folder / "small", PUBLISHED], folder, {}) for _ in range(VISITS)
        ]
        page = folder / "board" / "index.html"
        rows = [
            ("records", f"{40 * 25 * seeds:,} ({size / 1e6:.0f} MB)"),
            ("wall time, s", f"{cost.wall:.1f}"),
            ("user CPU time, s", f"{cost.user:.1f}"),
            ("of json.loads alone, s", f"{yardstick.user:.1f}"),
            ("peak memory, GB", f"{cost.memory:.2f}"),
            ("index.html, kB", f"{page.stat().st_size / 1e3:.0f}"),
            ("its first paint, ms", first_paint(page)),
            ("second build elsewhere", compared(folder / "board", folder / "again")),
            ("leaderboard/digits: wall time, s", f"{min(each.wall for each in small):.2f}"),
            ("leaderboard/digits: user CPU time, s", f"{min(each.user for each in small):.2f}"),
            ("load average", " ".join(f"{load:.1f}" for load in os.getloadavg())),
        ]
    print(tabulate(rows, ("what", "measured"), tablefmt="pipe", disable_numparse=True))
    parts = [(name, f"{cpu:.2f}", f"{of_small[name]:.2f}") for name, cpu in phases.items()]
    headers = ("phase", "CPU time, s", "of leaderboard/digits")
    print()
    print(tabulate(parts, headers, tablefmt="pipe", disable_numparse=True))


def synthetic_results(folder: Path, seeds: int) -> Path:
    """Write 40 treatments in 5 x 5 cells."""
    rewirings = ("", "+pa", "+shuffle", "+pa(offset=0.1)")
    treatments = [f"{name}{rewiring}" for name in initializers() for rewiring in rewirings]
    cells = [(f"dataset_{i // 5}", f"architecture_{i % 5}", "standard") for i in range(25)]
    return write_results(folder, treatments, cells, range(seeds))


def initializers() -> list[str]:
    """Return ten names as long as real ones."""
    return ["timm", "kaiming_normal", "orthogonal", *(f"method_{i}(gain=1.5)" for i in range(7))]


def measured(
    call: Sequence[str], arguments: list[Path], cwd: Path, environment: dict[str, str]
) -> Cost:
    """Run Python with arguments in a process of its own and return what it cost."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *call, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )
    _, process.returncode, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"the measured process failed with status {process.returncode}")
    # Linux counts kilobytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(wall, usage.ru_utime, usage.ru_maxrss * unit / 1e9)


def phases_of(results: Path, out: Path) -> dict[str, float]:
    """Return the seconds of CPU time of each of a board's phases, the longest first."""
    done = subprocess.run(
        [sys.executable, "-m", "perf.board_phases", str(results), str(out)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    phases: dict[str, float] = json.loads(done.stdout)
    return dict(sorted(phases.items(), key=lambda item: -item[1]))


def compared(one: Path, other: Path) -> str:
    """Say whether two folders have the same files with the same bytes."""
    found = [
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (one, other)
    ]
    return "byte-identical" if found[0] == found[1] else "DIFFERS"


def first_paint(page: Path) -> str:
    """Return the median first contentful paint of a page in Chromium, in milliseconds."""
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        return "not measured: needs playwright and chromium"
    times = []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(VISITS):
            tab = browser.new_page()
            tab.goto(page.as_uri())
            tab.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
            entry = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            times.append(float(tab.evaluate(entry)))
            tab.close()
        browser.close()
    return f"{statistics.median(times):.0f}"


if __name__ == "__main__":
    main()
