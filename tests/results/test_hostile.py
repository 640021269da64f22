"""Folders and tables of somebody hostile: nothing of them runs, and their size is bounded."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.commands import sources
from benchmark.errors import StoreError, UsageError
from benchmark.publishing import table_source
from benchmark.results import frame, lines, location
from benchmark.results.frame import load_manifest, load_records
from benchmark.results.store import read_store
from tests.results.believable import grid, write_folder

WATCHED = """\
import os, sys

hostile = os.path.realpath(sys.argv[1])


def watch(event, arguments):
    if event in ("pickle.find_class", "os.system", "subprocess.Popen", "os.exec", "socket.connect"):
        os.write(2, f"VIOLATION {event}".encode())
        os._exit(99)
    if event == "exec":
        file = arguments[0].co_filename
        if not file.startswith("<") and os.path.realpath(file).startswith(hostile + os.sep):
            os.write(2, f"VIOLATION {file}".encode())
            os._exit(99)


from benchmark.cli import main

import matplotlib.font_manager  # asks the operating system for fonts once

sys.addaudithook(watch)
sys.argv = ["initbench", *sys.argv[2:]]
main()
"""
EVIL = "raise SystemExit('ran')\n"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with good records, and code wherever something might look for it."""
    folder = write_folder(tmp_path / "hostile", grid())
    manifest = json.loads((folder / "grid.json").read_text())
    manifest["name"] = "../../escaped"
    manifest["config"] = {"name": "../../escaped", "plugins": ["evil.py"]}
    (folder / "grid.json").write_text(json.dumps(manifest))
    for name in ("evil.py", "conftest.py", "sitecustomize.py", "pandas.py", "yaml.py"):
        (folder / name).write_text(EVIL)
    (folder / "config.yaml").write_text("!!python/object/apply:os.system ['touch ran']\n")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["merge", ".", "--into", "{mine}"],
        ["board", ".", "--out", "{mine}"],
        ["status", "."],
        ["compare", "--records", ".", "--json"],
        ["export", "."],
        ["cite", "."],
    ],
    ids=lambda arguments: arguments[0],
)
def test_reading_others_records_runs_nothing_of_them(
    hostile: Path, tmp_path: Path, arguments: list[str]
) -> None:
    mine = tmp_path / "a" / "b" / "mine"
    before = set(tmp_path.rglob("*"))
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-c", WATCHED, str(hostile)),
            *(each.format(mine=mine) for each in arguments),
        ],
        cwd=hostile,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "80"},
        capture_output=True,
        text=True,
    )
    assert "VIOLATION" not in done.stderr
    assert done.returncode == 0, done.stderr
    made = set(tmp_path.rglob("*")) - before - {mine, *mine.parents}
    assert all(path.is_relative_to(mine) for path in made), made


def test_the_watch_sees_what_it_is_there_for(hostile: Path) -> None:
    code = WATCHED.replace("main()\n", "import runpy; runpy.run_path(hostile + '/evil.py')\n")
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(hostile)], capture_output=True, text=True
    )
    assert done.returncode == 99
    assert "evil.py" in done.stderr


def test_records_of_ten_gigabytes_in_one_line_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "guest", grid())
    with (folder / "records.jsonl").open("ab") as file:
        file.truncate(10 * 2**30)  # a hole: it takes no room on the disk
    for read in (load_records, read_store):
        with pytest.raises(StoreError, match="records.jsonl is larger than 8,589,934,592 bytes"):
            read(str(folder))


def test_a_long_line_a_bomb_and_a_large_manifest_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "guest", grid())
    records = (folder / "records.jsonl").read_bytes()
    monkeypatch.setattr(frame, "LONGEST_LINE", 2**20)
    monkeypatch.setattr(lines, "LONGEST_LINE", 2**20)
    (folder / "records.jsonl").write_bytes(records + b"1" * 2**21 + b"\n")
    with pytest.raises(StoreError, match=r"line \d+ is not a record: a line of 2,?097,?152 bytes"):
        load_records(str(folder))
    (folder / "records.jsonl").unlink()
    monkeypatch.setattr(location, "LARGEST_FILE", 2**20)
    (folder / "records.jsonl.gz").write_bytes(gzip.compress(b"\n" * 2**24))
    with pytest.raises(StoreError, match="unpacks to more than 1,048,576 bytes"):
        load_records(str(folder))
    (folder / "records.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(StoreError, match="cannot read .*records.jsonl.gz"):
        load_records(str(folder))
    monkeypatch.setattr(frame, "LARGEST_MANIFEST", 10)
    with pytest.raises(StoreError, match="grid.json is larger than 10 bytes"):
        load_manifest(str(folder))


@pytest.mark.parametrize("depth", [500, 100_000])
def test_nested_json_is_refused_with_its_place(tmp_path: Path, depth: int) -> None:
    folder = write_folder(tmp_path / "guest", grid())
    nested = b'{"schema":' + b"[" * depth + b"]" * depth + b"}\n"
    (folder / "records.jsonl").write_bytes(nested)
    with pytest.raises(StoreError, match="records.jsonl, line 1 is not a record"):
        load_records(str(folder))
    (folder / "grid.json").write_bytes(nested)
    with pytest.raises(StoreError, match="grid.json is not a manifest"):
        load_manifest(str(folder))


def test_a_table_of_a_million_columns_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "wide.csv"
    table.write_bytes(b",".join(b"%d" % column for column in range(1_000_000)) + b"\n")
    for read in (table_source.read_table, sources._read_table):
        with pytest.raises(UsageError, match=r"wide.csv:1: more than 1,000 columns"):
            read(str(table))
    monkeypatch.setattr(table_source, "LARGEST_TABLE", 100)
    with pytest.raises(StoreError, match="larger than 100 bytes"):
        table_source.read_table(str(table))
