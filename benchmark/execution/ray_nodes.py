"""How many workers of which kind a node takes, and which nodes take none."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from benchmark.execution.jobs import Settings
from benchmark.wording import counted

FAILED_STARTS = 2
"""No more workers are started on a node where so many in a row have failed to start."""

_ACCELERATOR = "accelerator_type:"


@dataclass(frozen=True)
class Demand:
    """What a worker takes: CPUs, GPUs (a share of one, or whole ones) and kinds of device.

    `devices` are names or patterns, as in "*H100*"; none allows every kind.
    """

    settings: Settings
    gpus_per_worker: float = 1.0
    workers_per_node: int | None = None
    devices: tuple[str, ...] = ()

    def on_gpu(self, resources: Mapping[str, float]) -> bool:
        """Whether a worker on a node with these resources computes on a GPU."""
        return self.settings.device != "cpu" and resources.get("GPU", 0) > 0

    def slots(self, resources: Mapping[str, float]) -> int:
        """Return how many workers a node with these resources takes.

        A worker never spreads over two GPUs by shares: 0.4 fits twice on each.
        """
        slots = int(resources.get("CPU", 0) // self.settings.threads)
        if self.on_gpu(resources):
            gpus, share = int(resources["GPU"]), self.gpus_per_worker
            # Shares such as 1/3 have no exact number.
            on_gpus = gpus * int(1 / share + 1e-9) if share <= 1 else gpus // int(share)
            slots = min(slots, on_gpus)
        elif self.settings.device == "cuda":
            slots = 0
        if self.workers_per_node is not None:
            slots = min(slots, self.workers_per_node)
        return 0 if self.on_gpu(resources) and self._excludes(accelerator(resources)) else slots

    @cached_property
    def resources(self) -> dict[str, float]:
        """What a worker surely takes, as Ray counts it; a GPU only where one is demanded.

        Of a kind only where there is one, by a name that Ray has for it: patterns and alternatives
        cannot be told to Ray.
        """
        needed = {"CPU": float(self.settings.threads)}
        if self.settings.device == "cuda" or self.devices:
            needed["GPU"] = self.gpus_per_worker
        if len(self.devices) == 1 and (kind := _kinds().get(self.devices[0].lower())):
            needed[_ACCELERATOR + kind] = 0.001
        return needed

    def fitting(self, resources: Mapping[str, float]) -> int:
        """Return how many times the autoscaler takes what a worker needs to fit on a node."""
        return min(
            int(resources.get(name, 0) / needed + 1e-9) for name, needed in self.resources.items()
        )

    def allows(self, device: str) -> bool:
        """Whether the config wants this kind of device."""
        name = device.lower()
        patterns = [pattern.lower() for pattern in self.devices]
        return not patterns or any(
            fnmatchcase(name, pattern) or pattern in name for pattern in patterns
        )

    def _excludes(self, kind: str | None) -> bool:
        """Whether the devices of a kind, by Ray's short name, are surely not wanted."""
        if kind is None or self.allows(kind):
            return False
        model = kind.lower().partition("-")[0]
        return not any(model in pattern.lower() for pattern in self.devices)

    def __str__(self) -> str:
        wanted = f"{self.settings.threads} CPUs"
        if self.settings.device == "cuda":
            wanted += f" and {self.gpus_per_worker:g} GPUs"
        if self.devices:
            wanted += f" on {' or '.join(self.devices)}"
        return wanted


def accelerator(resources: Mapping[str, float]) -> str | None:
    """Return the kind of GPU that Ray has found on a node, if it has."""
    return next(
        (name.removeprefix(_ACCELERATOR) for name in resources if name.startswith(_ACCELERATOR)),
        None,
    )


def _kinds() -> dict[str, str]:
    """Return the names that Ray has for kinds of device, by what they are in lower case."""
    from ray.util import accelerators

    named = [value for name, value in vars(accelerators).items() if not name.startswith("_")]
    return {kind.lower(): kind for kind in named if isinstance(kind, str)}


@dataclass
class Nodes:
    """The nodes of a cluster as this driver sees them.

    `withheld` counts the workers that a node takes less than it has room for, `left_out` says why
    nodes get no worker, `draining` are those that are announced to leave, `alive` has Ray's word
    on each node that is there, by id.
    """

    ray: Any
    demand: Demand
    withheld: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, str] = field(default_factory=dict)
    draining: set[str] = field(default_factory=set)
    alive: dict[str, dict[str, Any]] = field(default_factory=dict)
    _failed_starts: Counter[str] = field(default_factory=Counter)

    def look(self) -> tuple[list[str], ...]:
        """See which nodes there are; return the names of those that came, died, or are to leave."""
        alive = {node["NodeID"]: node for node in self.ray.nodes() if node["Alive"]}
        draining = set(self.ray._private.state.state.get_draining_nodes()) & alive.keys()
        before, known = self.alive, {**self.alive, **alive}
        useful = {node for node in known if self.demand.slots(known[node]["Resources"])}
        came, died = alive.keys() - before.keys(), before.keys() - alive.keys()
        leaving = draining - self.draining
        self.alive, self.draining = alive, draining
        return tuple(
            [str(known[node]["NodeManagerAddress"]) for node in sorted(changed & useful)]
            for changed in (came, died, leaving)
        )

    @property
    def usable(self) -> list[str]:
        """The ids of the nodes that get work."""
        return [
            node for node in self.alive if node not in self.draining and node not in self.left_out
        ]

    def slots(self, node: str) -> int:
        """Return how many workers a node takes now."""
        room = self.demand.slots(self.alive[node]["Resources"])
        return max(room - self.withheld[node], 0)

    def bundles(self, workers: int) -> int:
        """Return how many times to ask for what a worker needs, to have room for so many workers.

        The autoscaler fills a node to the brim, even one that is to take fewer workers than fit: by
        as much as on the nodes that are there, more is asked for.
        """
        taken = fitting = 0
        for node in self.usable:
            if slots := self.slots(node):
                taken += slots
                fitting += max(slots, self.demand.fitting(self.alive[node]["Resources"]))
        return math.ceil(workers * fitting / taken) if taken else workers

    def gpus(self, node: str) -> float:
        """Return what share of a GPU, or how many, a worker takes there."""
        on_gpu = self.demand.on_gpu(self.alive[node]["Resources"])
        return self.demand.gpus_per_worker if on_gpu else 0

    def wants(self, node: str, device: str) -> bool:
        """Whether a worker's device, by its full name or Ray's short one, is of a kind wanted."""
        kind = accelerator(self.alive[node]["Resources"]) if node in self.alive else None
        return self.demand.allows(device) or (kind is not None and self.demand.allows(kind))

    def name(self, node: str) -> str:
        """Return what people call a node."""
        known = self.alive.get(node)
        return str(known["NodeManagerAddress"]) if known else node[:8]

    def started(self, node: str, error: str) -> bool:
        """Note how a start went there; return whether the node is to be left out from now on."""
        if not error:
            self._failed_starts[node] = 0
            return False
        self._failed_starts[node] += 1
        return self._failed_starts[node] >= FAILED_STARTS

    def describe(self, present: Mapping[str, int]) -> Sequence[dict[str, Any]]:
        """Return the nodes as data for a status: name, workers, what is wrong with it."""
        return [
            {
                "node": self.name(node),
                "kind": accelerator(self.alive[node]["Resources"]) or "CPU",
                "workers": present.get(node, 0),
                "state": self._state(node),
            }
            for node in self.alive
            if present.get(node) or node in self.left_out or self.slots(node)
        ]

    def _state(self, node: str) -> str:
        if node in self.left_out:
            return f"left out: {self.left_out[node].strip().splitlines()[-1]}"
        if node in self.draining:
            return "about to leave"
        withheld = self.withheld[node]
        return f"{counted(withheld, 'worker')} fewer, for want of memory" if withheld else ""
