"""Results on a real S3 server on the loopback: segments, leases, and a server that fails."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import fsspec
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from benchmark.errors import RunError, StoreError, UsageError
from benchmark.results import driver, location, segments
from benchmark.results.frame import load_records, read_record_data
from benchmark.results.location import locate
from benchmark.results.segments import SEGMENTS
from benchmark.results.store import Store, open_store, read_store, running_driver
from benchmark.trial import Record
from tests.publishing.synthetic import write_results
from tests.results.test_store import record


class Server:
    """An S3 server in this process; `refuse` says which of its requests get a 503."""

    def __init__(self) -> None:
        self._backend = DomainDispatcherApplication(create_backend_app)
        self._counter = itertools.count(1)
        self.refuse: Callable[[int], bool] = lambda number: False
        self.refused = 0
        self._start(0)

    def _start(self, port: int) -> None:
        self._server = make_server("127.0.0.1", port, self, threaded=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def kill(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def restart(self) -> None:
        self._start(self.port)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if self.refuse(next(self._counter)):
            self.refused += 1
            start_response("503 Slow Down", [("Content-Type", "text/plain")])
            return [b""]
        return self._backend(environ, start_response)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    started = Server()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        patch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{started.port}")
        fsspec.filesystem("s3").mkdir("results")
        yield started
    started.kill()


@pytest.fixture
def folder(server: Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(driver, "LEASE_SECONDS", 0.6)
    monkeypatch.setattr(location, "PAUSES", (0.01, 0.02))
    server.refuse = lambda number: False
    return f"s3://results/{request.node.name.replace('[', '-').strip(']')}"


def objects(folder: str) -> list[str]:
    return locate(folder).names(SEGMENTS)


def test_a_record_is_an_object_at_once_and_part_of_the_file_at_the_end(folder: str) -> None:
    with open_store(folder) as store:
        store.append(record(0))
        store.append(record(1), record(2))
        assert len(objects(folder)) == 2
        assert len(read_store(folder).done()) == 3
    assert objects(folder) == []
    assert len(read_record_data(folder)[1].splitlines()) == 3
    with open_store(folder) as store:
        assert store.done() == {record(seed).trial for seed in range(3)}


def test_segments_are_folded_while_a_run_goes_on(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "LEAST_TO_FOLD", 8)
    with open_store(folder) as store:
        for seed in range(11):
            store.append(record(seed))
        assert len(objects(folder)) == 3
        assert len(read_store(folder).done()) == 11


def test_a_later_record_of_a_trial_counts_wherever_it_lies(folder: str) -> None:
    with open_store(folder) as store:
        store.append(record(0, "lost"))
    with open_store(folder) as store:
        store.append(record(0, "lost"))
        store.append(record(0))
        assert read_store(folder).records[record(0).trial].status == "ok"
    assert read_store(folder).records[record(0).trial].status == "ok"


def test_a_driver_killed_while_it_folds_loses_and_doubles_nothing(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: location.Location, names: list[str]) -> None:
        raise KeyboardInterrupt

    def run() -> None:
        with open_store(folder) as store:
            store.append(record(0))
            store.append(record(1))
            patch.setattr(location.Location, "remove", killed)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        run()
    assert len(objects(folder)) == 2
    assert set(read_store(folder).records) == {record(0).trial, record(1).trial}
    with open_store(folder) as store:
        store.append(record(2))
    assert set(read_store(folder).records) == {record(seed).trial for seed in range(3)}
    assert objects(folder) == []


@pytest.mark.parametrize("every", [3, 7])
def test_a_server_that_fails_every_nth_request_loses_nothing(
    folder: str, server: Server, every: int
) -> None:
    before = server.refused
    server.refuse = lambda number: number % every == 0
    with open_store(folder) as store:
        for seed in range(12):
            store.append(record(seed))
    assert len(read_store(folder).done()) == 12
    assert server.refused > before


def test_a_server_killed_midway_ends_the_run_with_what_is_written_kept(
    folder: str, server: Server
) -> None:
    def run() -> None:
        with open_store(folder) as store:
            store.append(record(0))
            server.kill()
            store.append(record(1))

    with pytest.raises(RunError, match="before this one is kept"):
        run()
    server.restart()
    with open_store(folder) as store:
        assert store.done() == {record(0).trial}
        store.append(record(1))
    assert len(read_store(folder).done()) == 2


def test_a_second_driver_is_refused_and_a_dead_ones_lease_runs_out(folder: str) -> None:
    told: list[str] = []
    with open_store(folder):
        assert "process" in str(running_driver(folder))
        with pytest.raises(StoreError, match="being written by process"), open_store(folder):
            pass
    assert running_driver(folder) is None
    locate(folder).write(driver.LEASE, b'{"driver": "process 1 on gone", "token": "x", "beat": 4}')
    with open_store(folder, notify=told.append) as store:
        store.append(record(0))
    assert "process 1 on gone" in told[0]


def test_a_clock_that_jumps_by_hours_neither_ends_a_lease_nor_keeps_a_dead_drivers(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, hours = time.time, itertools.cycle((5, -5))
    monkeypatch.setattr(time, "time", lambda: real() + 3600 * next(hours))
    with open_store(folder) as store:
        store.append(record(0))
        with pytest.raises(StoreError, match="being written by process"), open_store(folder):
            pass
        store.append(record(1))
    locate(folder).write(driver.LEASE, b'{"driver": "process 1 on gone", "token": "x", "beat": 4}')
    with open_store(folder) as store:
        store.append(record(2))
    assert len(read_store(folder).done()) == 3


def test_a_driver_that_was_taken_over_writes_no_more(folder: str) -> None:
    def write_on(store: Store) -> None:
        for _ in range(500):
            # Again and again, as its keeper would: a beat of the first may fall in between.
            locate(folder).write(driver.LEASE, b'{"driver": "process 2", "token": "y", "beat": 0}')
            store.append(record(1))

    with open_store(folder) as store, pytest.raises(RunError, match="taken over by process 2"):
        write_on(store)
    assert running_driver(folder) == "process 2"


def test_a_driver_that_was_suspended_while_it_folded_undoes_nothing_of_its_successors(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_lines = segments.read_lines

    def be_suspended(*given: Any) -> bytes:
        data = read_lines(*given)
        patch.undo()
        with open_store(folder) as successor:
            successor.append(record(1))
        return data

    with monkeypatch.context() as patch:
        patch.setattr(driver, "_keep", lambda *given: None)
        with open_store(folder) as store:
            store.append(record(0))
            patch.setattr(segments, "read_lines", be_suspended)
    assert set(read_store(folder).records) == {record(0).trial, record(1).trial}
    assert objects(folder) == []


def test_a_driver_whose_lease_is_gone_does_not_take_it_back(folder: str) -> None:
    def write_on(store: Store) -> None:
        for _ in range(500):
            locate(folder).remove([driver.LEASE])
            store.append(record(1))

    with open_store(folder) as store, pytest.raises(RunError, match="taken over by another driver"):
        write_on(store)
    assert running_driver(folder) is None


def test_a_board_reads_objects_as_it_reads_a_disk(folder: str, tmp_path: Any) -> None:
    local = write_results(tmp_path / "results")
    for name in ("grid.json", "config.yaml", "records.jsonl"):
        locate(folder).write(name, (local / name).read_bytes())
    with open_store(folder) as store:
        one = next(iter(store.records.values()))
        store.append(Record.from_dict({**vars(one), "accuracy": 0.125}))
        frame = load_records(folder)
    assert float(frame.loc[frame["trial"] == one.trial, "accuracy"].iloc[0]) == 0.125
    assert len(frame) == len(load_records(str(local)))


def test_protocols_that_are_not_there_say_what_to_install() -> None:
    with pytest.raises(UsageError, match=r"initbench\[s3\]"):
        locate("nosuch://bucket/run")
