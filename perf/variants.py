"""What else might make a step faster: `python -m perf.variants [--quick] [--json FILE]`.

Bare training steps (forward, loss, backward, optimizer) of the quickstart's models on one batch, in
a cohort and alone, each in the way that the benchmark takes and in others: an optimizer that loops
over parameters or over lists of them (foreach) in place of the fused one, channels_last weights and
images, bfloat16 autocast, torch.compile of the network, on a GPU also with CUDA graphs. The ratio
is the usual way's seconds over the variant's, taken in turns: above 1 the variant is faster. What
a variant cannot do is named. Prints markdown.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from torch.func import functional_call, vmap

from benchmark.config import load_config
from benchmark.grid import expand
from benchmark.training.data import Batch
from benchmark.training.device import choose_device, keep_freed_memory, synchronise
from benchmark.training.network import Network, Stack, mean_losses
from benchmark.training.stacked_layers import StackedLayers
from perf.phases import CONFIG, Clock, Setting, network_of
from perf.versions import versions

Step = Callable[[Network, Batch], None]

OPTIMIZERS = {"optimizer: loop": {"foreach": False}, "optimizer: foreach": {"foreach": True}}
OTHERS = ("channels_last", "bfloat16", "compile")
GRAPHS = "compile, CUDA graphs"


def logits_of(network: Network, images: torch.Tensor) -> torch.Tensor:
    """Return the logits [replicas, images, classes] in training."""
    return network._logits(images, [0] * len(network.courses))


def plain_step(network: Network, batch: Batch) -> None:
    """Take a step as the benchmark does."""
    finish(network, mean_losses(logits_of(network, batch[0]), batch[1]))


def autocast_step(network: Network, batch: Batch) -> None:
    """Take a step with bfloat16 in the forward pass."""
    with torch.autocast(batch[0].device.type, torch.bfloat16):
        losses = mean_losses(logits_of(network, batch[0]), batch[1])
    finish(network, losses)


def finish(network: Network, losses: torch.Tensor) -> None:
    """Go backward and update the weights."""
    network._optimizer.zero_grad(set_to_none=True)
    losses.sum().backward()
    network._optimizer.step()


def compiled_step(network: Network, mode: str | None) -> Step:
    """Return a step whose forward pass, and so its backward pass, is compiled."""
    if not isinstance(network, Stack):
        model = torch.compile(network._model, mode=mode)

        def alone(network: Network, batch: Batch) -> None:
            finish(network, mean_losses(model(batch[0]).unsqueeze(0), batch[1]))

        return alone
    seeds = [0] * len(network.courses)

    def forward(weights: Any, buffers: Any, images: torch.Tensor) -> torch.Tensor:
        def call(own_weights: Any, own_buffers: Any) -> torch.Tensor:
            with StackedLayers(seeds):
                return functional_call(network._model, (own_weights, own_buffers), (images,))

        return vmap(call, randomness="error")(weights, buffers)

    compiled = torch.compile(forward, mode=mode)

    def stacked(network: Network, batch: Batch) -> None:
        logits = compiled(network._weights, network._buffers, batch[0])  # type: ignore[attr-defined]
        finish(network, mean_losses(logits, batch[1]))

    return stacked


def variant(name: str, network: Network, batch: Batch) -> tuple[Step, Batch]:
    """Return a variant's step and batch, for a network of its own."""
    images, labels = batch
    if name in OPTIMIZERS:
        for group in network._optimizer.param_groups:
            group.update({"fused": False, **OPTIMIZERS[name]})
        return plain_step, batch
    if name == "channels_last":
        if isinstance(network, Stack):
            raise RuntimeError("stacked convolutions are grouped ones of other layouts")
        network._model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return plain_step, (images.to(memory_format=torch.channels_last), labels)
    if name == "bfloat16":
        return autocast_step, batch
    if name.startswith("compile"):
        return compiled_step(network, "reduce-overhead" if name == GRAPHS else None), batch
    return plain_step, batch


def measure(setting: Setting, quick: bool, device: torch.device) -> dict[str, Any]:
    """Return the ratio of every variant, or why there is none, and the usual milliseconds."""
    recipe = next(
        trial.cell.recipe
        for trial in expand(load_config(CONFIG)).trials
        if trial.cell.architecture == setting.architecture
    )
    data = setting.data(128, device)
    names = ["usual", *OPTIMIZERS, *OTHERS, *([GRAPHS] if _cuda(device) else [])]
    ready: dict[str, tuple[Network, Step, Batch]] = {}
    found: dict[str, Any] = {"model": setting.architecture, "replicas": setting.replicas}
    for name in names:
        network = network_of(setting, recipe, data, Clock(device), device)
        network._model.train()
        try:
            step, batch = variant(name, network, data.initialization_batch(recipe))
            for _ in range(2):
                step(network, batch)
            ready[name] = (network, step, batch)
        except Exception as error:
            found[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    times: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(3 if quick else 15):
        for name, (network, step, batch) in ready.items():
            times[name].append(_seconds(lambda n=network, s=step, b=batch: s(n, b), device))
    usual = statistics.median(times["usual"])
    for name, seconds in times.items():
        found[name] = usual / statistics.median(seconds)
    return {**found, "usual_ms": 1e3 * usual}


def _cuda(device: torch.device) -> bool:
    return device.type == "cuda"


def _seconds(work: Callable[[], None], device: torch.device) -> float:
    clock = time.perf_counter if _cuda(device) else time.process_time
    synchronise(device)
    start = clock()
    work()
    synchronise(device)
    return clock() - start


def table(found: list[dict[str, Any]]) -> str:
    """Return the table of ratios, and below it why some are missing."""
    names = [name for name in (*OPTIMIZERS, *OTHERS, GRAPHS) if name in found[0]]
    reasons: dict[str, int] = {}
    lines = []
    for row in found:
        cells = []
        for name in names:
            value = row[name]
            if isinstance(value, str):
                cells.append(f"({reasons.setdefault(value, len(reasons) + 1)})")
            else:
                cells.append(f"{value:.2f}")
        lines.append((row["model"], row["replicas"], f"{row['usual_ms']:.1f}", *cells))
    text = tabulate(
        lines, ("model", "cohort", "step, ms", *names), tablefmt="pipe", disable_numparse=True
    )
    return "\n".join([text, "", *(f"({number}) {why}" for why, number in reasons.items())])


def main() -> None:
    """Measure, print the table, store the numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one model, fewer rounds")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    device = choose_device("auto")
    torch.set_num_threads(1)
    keep_freed_memory()
    names = list(
        dict.fromkeys(trial.cell.architecture for trial in expand(load_config(CONFIG)).trials)
    )
    settings = [
        Setting(name, replicas)
        for name in (["plain_cnn"] if arguments.quick else names)
        for replicas in ((2,) if arguments.quick else (1, 16))
    ]
    found = [measure(setting, arguments.quick, device) for setting in settings]
    print(table(found))
    if arguments.json:
        content = {**versions(), "rows": found}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
