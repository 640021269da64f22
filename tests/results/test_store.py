"""The store: nothing finished is lost, one driver at a time, clear words for what is wrong."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import resource
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from benchmark.errors import RunError, StoreError
from benchmark.results.driver import LOCK
from benchmark.results.location import Location
from benchmark.results.store import BLOCK, open_store, read_store, running_driver
from benchmark.trial import SCHEMA, STATUSES, Record
from tests.conftest import make_cohort


def record(seed: int = 0, status: str = "ok", **results: object) -> Record:
    (trial,) = make_cohort(("timm", seed)).trials
    accuracy = {"accuracy": 0.5} if status == "ok" else {}
    return Record.of(trial, status, **accuracy, **results)  # type: ignore[arg-type]


def test_appended_records_are_on_the_disk_before_the_store_is_closed(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "deep" / "folder")) as store:
        store.append(record(0))
        store.append(record(1, "diverged", curves={"train_loss": [float("nan")]}))
        lines = (tmp_path / "deep" / "folder" / "records.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["ok", "diverged"]
    again = read_store(str(tmp_path / "deep" / "folder"))
    assert again.done() == {record(0).trial, record(1).trial}
    assert again.records[record(0).trial] == record(0)


def test_the_name_of_the_driver_is_on_the_disk_before_any_worker_looks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_ino))
    with open_store(str(tmp_path)):
        assert synced == [(tmp_path / LOCK).stat().st_ino]


def test_a_torn_last_line_is_cut_at_every_byte(tmp_path: Path) -> None:
    with open_store(str(tmp_path)) as store:
        store.append(record(0))
        store.append(record(1))
    whole = (tmp_path / "records.jsonl").read_bytes()
    first = whole.index(b"\n") + 1
    for end in [*range(first, len(whole), 97), len(whole) - 1]:
        (tmp_path / "records.jsonl").write_bytes(whole[:end])
        assert read_store(str(tmp_path)).done() == {record(0).trial}
        with open_store(str(tmp_path)) as store:
            store.append(record(2))
        assert read_store(str(tmp_path)).done() == {record(0).trial, record(2).trial}


def test_a_torn_line_longer_than_what_is_read_at_once_is_cut(tmp_path: Path) -> None:
    with open_store(str(tmp_path)) as store:
        store.append(record(0))
    with open(tmp_path / "records.jsonl", "ab") as file:
        file.write(b"x" * 3 * BLOCK)
    with open_store(str(tmp_path)) as store:
        store.append(record(1))
    assert read_store(str(tmp_path)).done() == {record(0).trial, record(1).trial}
    (tmp_path / "records.jsonl").write_bytes(b"x" * 3 * BLOCK)
    with open_store(str(tmp_path)) as store:
        assert store.done() == set()
    assert (tmp_path / "records.jsonl").read_bytes() == b""


def test_statuses_are_found_without_reading_the_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the values say, each record's own trial and status are what is found."""
    deceiving = '"},"seed":1,"status":"ok","accuracy":0,"schema":1}'
    with open_store(str(tmp_path)) as store:
        for seed, status in enumerate(STATUSES):
            store.append(record(seed, status, message=deceiving, curves={deceiving: [1.0]}))
        store.append(record(1, "lost"))
    expected = {trial: each.status for trial, each in store.records.items()}
    assert len(expected) == len(STATUSES)
    monkeypatch.setattr(Record, "from_dict", lambda values: pytest.fail("read a whole record"))
    assert read_store(str(tmp_path)).statuses == expected == store.statuses


def test_lost_trials_run_again_and_others_only_when_asked(tmp_path: Path) -> None:
    with open_store(str(tmp_path)) as store:
        for seed, status in enumerate(["ok", "lost", "error", "timeout", "diverged"]):
            store.append(record(seed, status))
        ids = [record(seed).trial for seed in range(5)]
        assert store.done() == {ids[0], ids[2], ids[3], ids[4]}
        assert store.done(retry=["error"]) == {ids[0], ids[3], ids[4]}
        store.append(record(1, "ok"))
        assert ids[1] in store.done()
        store.append(record(1, "lost"), record(2, "lost"))
        for each in (store, read_store(str(tmp_path))):
            assert each.done() == {ids[0], ids[1], ids[3], ids[4]}
            assert [each.records[ids[seed]].status for seed in (1, 2)] == ["ok", "lost"]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b"not json", "line 2 is not a record"),
        (b"[1, 2]", "not a JSON object"),
        (b"\xff\xfe", "line 2"),
        (b'{"schema": 999}', "install a newer initbench"),
        (b'{"schema": 0}', f"this version of initbench reads {SCHEMA}"),
        (b'{"schema": 1, "status": "fine"}', "unknown status"),
        (b'{"schema": 1, "status": "ok"}', "incomplete"),
        (b'{"schema": 1, "status": "ok", "colour": 1}', "colour"),
        (b"[" * 100_000, "line 2"),
    ],
)
def test_garbage_in_the_middle_is_named_by_its_line(tmp_path: Path, line: bytes, word: str) -> None:
    with open_store(str(tmp_path)) as store:
        store.append(record(0))
    path = tmp_path / "records.jsonl"
    path.write_bytes(path.read_bytes() + line + b"\n")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="records.jsonl") as caught, open_store(str(tmp_path)):
        pass
    assert word in str(caught.value)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StoreError, match="another one with --out"),
        open_store(str(tmp_path / "file" / "results")),
    ):
        pass


def test_a_disk_that_is_read_only_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Location, name: str, content: bytes) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with open_store(str(tmp_path)) as store:
        store.append(record(0))
    monkeypatch.setattr(Location, "write", refuse)
    with pytest.raises(StoreError, match="Read-only file system; name another one with --out"):
        open_store(str(tmp_path)).__enter__()
    assert read_store(str(tmp_path)).done() == {record(0).trial}


def test_records_are_read_one_at_a_time_and_replaced_ones_are_among_them(tmp_path: Path) -> None:
    with open_store(str(tmp_path)) as store:
        store.append(record(0, "lost"))
        store.append(record(1))
        store.append(record(0))
        reading = store.each_record()
        assert next(reading) == record(0, "lost")
        with open(tmp_path / "records.jsonl", "ab") as file:
            file.write(b"no record\n")
        assert [next(reading), next(reading)] == [record(1), record(0)]
        with pytest.raises(StoreError, match="line 4 is not a record"):
            next(reading)


def test_a_disk_without_room_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 2**20))
    with open_store(str(tmp_path), expected_records=5):
        pass
    with pytest.raises(StoreError, match="1 MiB free"), open_store(str(tmp_path), 1000):
        pass


def _append_until_full(folder: str, results: multiprocessing.Queue) -> None:
    with open_store(folder) as store:
        store.append(record(0))
        size = os.path.getsize(os.path.join(folder, "records.jsonl"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, size + 100))
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            store.append(record(1))
        except RunError as error:
            results.put(str(error))


def test_a_disk_that_fills_up_costs_only_the_record_being_written(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=_append_until_full, args=(str(tmp_path), results))
    process.start()
    message = results.get(timeout=60)
    process.join()
    assert "Every finished trial before this one is kept" in message
    with open_store(str(tmp_path)) as store:
        assert store.done() == {record(0).trial}


def test_a_second_driver_is_refused_and_a_dead_one_is_not_in_the_way(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert running_driver(folder) is None
    with open_store(folder):
        assert running_driver(folder) is not None
        assert f"process {os.getpid()}" in str(running_driver(folder))
        with pytest.raises(StoreError, match=f"process {os.getpid()}"), open_store(folder):
            pass
    assert running_driver(folder) is None
    with open_store(folder):
        pass


def test_reading_takes_no_lock_and_writes_nothing(tmp_path: Path) -> None:
    with open_store(str(tmp_path)) as store:
        store.append(record(0))
        assert read_store(str(tmp_path)).done() == {record(0).trial}
    assert read_store(str(tmp_path / "absent")).records == {}
    assert not (tmp_path / "absent").exists()


def test_results_may_lie_on_any_file_system() -> None:
    with open_store("memory://bucket/run") as store:
        store.append(record(0))
        store.append(record(1))
        store.write("config.yaml", "name: x\n")
    assert read_store("memory://bucket/run").done() == {record(0).trial, record(1).trial}
