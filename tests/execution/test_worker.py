"""The worker with methods that misbehave: each ends in a record, and none ends the worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmark import plugins
from benchmark.execution.jobs import Settings
from benchmark.execution.worker import Worker
from benchmark.training.data import DataError, MemoryPixels
from tests.conftest import make_cohort

MISBEHAVIOUR = """
import sys, threading, time
import torch
from benchmark import initializer

class Odd(Exception):
    def __init__(self, first, second):
        super().__init__(first)

@initializer("raises_oddly", summary="raises what cannot be unpickled")
def raises_oddly(weight, layer, generator):
    raise Odd(1, 2)

@initializer("exits", summary="calls sys.exit")
def exits(weight, layer, generator):
    sys.exit(3)

@initializer("returns", summary="returns a new weight instead of filling the one it gets")
def returns(weight, layer, generator):
    return "a weight"

@initializer("not_finite", summary="fills with infinity")
def not_finite(weight, layer, generator):
    weight.fill_(float("inf"))

@initializer("threads", summary="leaves a thread behind")
def threads(weight, layer, generator):
    threading.Thread(target=time.sleep, args=(0.5,), daemon=True).start()
    weight.normal_(0, 0.1, generator=generator)

@initializer("full", summary="runs out of the memory of the device")
def full(weight, layer, generator):
    raise torch.OutOfMemoryError("CUDA out of memory")
"""


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    file: Path = tmp_path_factory.mktemp("plugins") / "misbehaving.py"
    file.write_text(MISBEHAVIOUR, encoding="utf-8")
    plugins.initializers.all()
    before = dict(plugins.initializers._methods)
    plugins.load_plugins([str(file)])
    yield Worker(Settings(device="cpu"))
    plugins.initializers._methods.clear()
    plugins.initializers._methods.update(before)


@pytest.mark.parametrize(
    ("initializer", "status", "said"),
    [
        ("raises_oddly", "error", "Odd: 1"),
        ("exits", "error", "SystemExit: 3"),
        ("returns", "error", "must fill"),
        ("not_finite", "error", "non-finite"),
        ("threads", "ok", ""),
    ],
)
def test_a_method_that_misbehaves_costs_its_own_trial_and_says_why(
    worker: Worker, initializer: str, status: str, said: str
) -> None:
    outcome = worker.train(make_cohort((initializer, 0), ("timm", 0)))
    assert outcome.failure is None
    misbehaving, neighbour = outcome.records
    assert (misbehaving.status, neighbour.status) == (status, "ok")
    assert said in misbehaving.message


def test_a_full_device_is_no_error_of_the_method(worker: Worker) -> None:
    outcome = worker.train(make_cohort(("full", 0)))
    assert (outcome.failure, outcome.records) == ("out_of_memory", ())
    assert worker.train(make_cohort(("timm", 0))).records[0].status == "ok"


@pytest.mark.parametrize("treatments", [[("timm", 0)], [("timm", 0), ("timm", 1)]])
def test_an_image_that_cannot_be_read_in_training_is_no_error_of_the_method(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, treatments: list[tuple[str, int]]
) -> None:
    def unreadable(*given: object) -> Iterator[torch.Tensor]:
        raise DataError("cannot decode the image 7.jpg: Input/output error")
        yield

    cohort = make_cohort(*treatments)
    worker.train(cohort)
    monkeypatch.setattr(MemoryPixels, "stream", unreadable)
    outcome = worker.train(cohort)
    assert (outcome.failure, outcome.records) == ("unfit_node", ())
    assert "7.jpg" in outcome.message


def test_data_that_cannot_be_read_are_the_nodes_fault_until_they_can(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def corrupt(text: str) -> None:
        raise OSError("not a gzipped file")

    monkeypatch.setattr(worker, "_load", corrupt)
    outcome = worker.train(make_cohort(("timm", 0)))
    assert outcome.failure == "unfit_node"
    assert "not a gzipped file" in outcome.message
    monkeypatch.undo()
    assert worker.train(make_cohort(("timm", 0))).failure is None
