"""Ray for the pool, simulated: nodes of 8 GPUs, workers that train nothing, a time of its own.

The pool (benchmark.execution.ray_pool) is the real one. Time flows as on the wall while the driver
works, jumps to the next event where it waits, and is charged what Ray's calls cost a driver, which
`python -m perf.simulated_ray` measures with the real Ray.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

if TYPE_CHECKING:
    from benchmark.execution.jobs import Job
    from benchmark.execution.ray_pool import RayExecutor
    from benchmark.grid import Cohort

GPUS_PER_NODE = 8

CALL_SECONDS = 1.5e-3
WAIT_SECONDS = 0.4e-6
"""CPU seconds of a driver for a call with its result, and for each call that it waits for."""


class Reference:
    """A call that ends at a time; `make` gives its result."""

    __slots__ = ("make", "taken")

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make
        self.taken = False


class Handle:
    """An actor, whose methods are called as Ray's are: `handle.train.remote(job)`."""

    def __init__(self, ray: SimulatedRay) -> None:
        self._ray = ray
        self._free_since: float | None = None

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=getattr(self, f"_{name}"))

    def _ready(self, settings: Any) -> Reference:
        from benchmark.execution.ray_actor import Greeting

        return self._ray.answer(Greeting(device="simulated"))

    def _check(self, cells: Sequence[Any]) -> Reference:
        return self._ray.answer([])

    def _measure(self, cohort: Cohort) -> Reference:
        return self._ray.answer(self._ray.measured(cohort))

    def _train(self, job: Job) -> Reference:
        ray = self._ray
        ray.charge(CALL_SECONDS)
        now = ray.now()
        if self._free_since is not None:
            ray.delays.append(now - self._free_since)
        seconds = ray.duration(job.cohort)
        self._free_since = now + seconds
        ray.work += seconds
        ray.longest = max(ray.longest, seconds)
        return ray.train(self._free_since, job.cohort)


class SimulatedRay:
    """What the pool uses of the module `ray`, for so many GPUs.

    `duration` says how long a cohort trains, `measured` what its cell was measured to take.
    """

    def __init__(
        self,
        workers: int,
        duration: Callable[[Cohort], float],
        measured: Callable[[Cohort], Any],
    ) -> None:
        import ray.exceptions

        self.exceptions = ray.exceptions
        self.duration, self.measured = duration, measured
        self.delays: list[float] = []
        self.work = self.longest = self.waited = self.aside_cpu = 0.0
        sizes = [GPUS_PER_NODE] * (workers // GPUS_PER_NODE) + [workers % GPUS_PER_NODE]
        self._nodes = [
            {
                "NodeID": f"{number:056x}",
                "Alive": True,
                "NodeManagerAddress": f"node {number}",
                "Resources": {"CPU": float(gpus), "GPU": float(gpus)},
            }
            for number, gpus in enumerate(sizes)
            if gpus
        ]
        draining = SimpleNamespace(get_draining_nodes=dict)
        self._private = SimpleNamespace(state=SimpleNamespace(state=draining))
        self._ready: deque[Reference] = deque()
        self._running: list[tuple[float, int, Reference]] = []
        self._number = itertools.count()
        self._ahead = -time.perf_counter()

    def now(self) -> float:
        """Return the simulated time."""
        return time.perf_counter() + self._ahead

    def charge(self, seconds: float) -> None:
        """Let time pass that the real Ray would have taken."""
        self._ahead += seconds

    def sleep(self, seconds: float) -> None:
        """Let time pass in which the driver does nothing."""
        self._ahead += seconds
        self.waited += seconds

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(gcs_address="simulated")

    def nodes(self) -> list[dict[str, Any]]:
        return self._nodes

    def remote(self, kind: type) -> Any:
        start = SimpleNamespace(remote=lambda: Handle(self))
        return SimpleNamespace(options=lambda **options: start)

    def answer(self, value: Any) -> Reference:
        """Return a call that has ended as soon as it is made."""
        self._ready.append(Reference(lambda: value))
        return self._ready[-1]

    def train(self, ends: float, cohort: Cohort) -> Reference:
        """Return a call that comes back with a cohort's records at a time."""
        from benchmark.execution.jobs import Outcome
        from perf.nothing import record_of

        def outcome() -> Outcome:
            return Outcome(tuple(record_of(trial) for trial in cohort.trials))

        reference = Reference(outcome)
        heapq.heappush(self._running, (ends, next(self._number), reference))
        return reference

    def get(self, reference: Reference) -> Any:
        """Return the result of a call; what it takes to make it up is not counted."""
        reference.taken = True
        start, cpu = time.perf_counter(), time.process_time()
        value = reference.make()
        self._ahead -= time.perf_counter() - start
        self.aside_cpu += time.process_time() - cpu
        return value

    def wait(
        self, references: Sequence[Reference], timeout: float | None = None
    ) -> tuple[list[Reference], list[Reference]]:
        """Return the first call that has ended, or none after `timeout` seconds."""
        self.charge(WAIT_SECONDS * len(references))
        # What waits for a single call is to get that and no other.
        if len(references) == 1 and references[0] in self._ready:
            return list(references), []
        while self._ready:
            if not (first := self._ready.popleft()).taken:
                return [first], []
        next_end = self._running[0][0] if self._running else float("inf")
        pause = max(next_end - self.now(), 0.0)
        self.sleep(pause if timeout is None else min(pause, timeout))
        if timeout is not None and pause > timeout:
            return [], []
        return [heapq.heappop(self._running)[2]], []

    def kill(self, handle: Handle) -> None:
        """Nothing to end."""

    def shutdown(self) -> None:
        """Nothing to end."""


def simulated_executor(ray: SimulatedRay) -> RayExecutor:
    """Return the pool, with this Ray in the place of the real one, and its time."""
    from benchmark.execution import ray_pool, ray_workers
    from benchmark.execution.jobs import Settings

    simulated: Any = ray
    head: Any = SimpleNamespace(address="", answers=lambda: True, silent=False)
    clock: Any = SimpleNamespace(monotonic=ray.now, sleep=ray.sleep)
    ray_pool.connect = lambda address, workers: simulated
    ray_pool.time = ray_workers.time = clock
    ray_pool.Guard = lambda address: SimpleNamespace(stop=lambda: None)  # type: ignore[assignment, misc]
    ray_workers.Head = lambda address: head  # type: ignore[assignment, misc]
    return ray_pool.RayExecutor(Settings(device="cuda"))


class Echo:
    """An actor that gives back what it gets."""

    def echo(self, value: str) -> str:
        return value


def main() -> None:
    """Measure what the calls of the real Ray cost a driver, with up to 10,000 of them pending."""
    import ray

    ray.init(
        address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
    )

    @ray.remote(num_cpus=10_000)
    def never() -> None:
        """No node has room for it."""

    actor: Any = ray.remote(Echo).remote()
    rows = []
    record = "x" * 4_000
    ray.get(actor.echo.remote(record))
    for count in (1, 100, 1_000, 10_000):
        pending = [never.remote() for _ in range(count)]
        wait = cpu_seconds(partial(ray.wait, pending, timeout=0))
        call = cpu_seconds(lambda: ray.get(actor.echo.remote(record)))
        rows.append((f"{count:,}", f"{1e3 * wait:.2f}", f"{1e3 * call:.2f}"))
        del pending
    headers = ("calls pending", "waiting for one of them, CPU ms", "a call and its result, CPU ms")
    print(tabulate(rows, headers, tablefmt="pipe", disable_numparse=True))
    ray.shutdown()


def cpu_seconds(call: Callable[[], Any], repeats: int = 30) -> float:
    """Return the CPU seconds of this process for a call, on average."""
    start = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - start) / repeats


if __name__ == "__main__":
    main()
