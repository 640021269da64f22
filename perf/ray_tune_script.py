"""The script that one would write instead: Ray Tune, a DataLoader and timm, a process a trial.

    python -m perf.ray_tune_script tune|loop GRID.json

`perf.against_ray_tune` writes GRID.json and reads the JSON lines that this prints: a trial each,
with its accuracy and the seconds of its parts. `tune` takes `pip install 'ray[tune]'`.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def train(config: dict[str, Any]) -> dict[str, Any]:
    """Train one network; return its test accuracy and the seconds of its parts."""
    marks = [("start", time.perf_counter())]

    def mark(part: str) -> None:
        marks.append((part, time.perf_counter()))

    import timm
    import torch
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2
    from torch.nn import functional
    from torch.utils.data import DataLoader, TensorDataset, random_split

    import benchmark.models.plain_cnn  # noqa: F401

    mark("import")
    torch.manual_seed(config["seed"])
    parts = torch.load(config["data"], weights_only=True)
    every = TensorDataset(parts["train_images"], parts["train_labels"])
    training, validation = random_split(every, [0.9, 0.1])
    batch = config["batch_size"]
    batches = DataLoader(training, batch, shuffle=True, drop_last=True)
    held_out = DataLoader(validation, batch)
    test = DataLoader(TensorDataset(parts["test_images"], parts["test_labels"]), batch)
    mark("data")
    model = timm.create_model(
        config["model"], in_chans=parts["train_images"].shape[1], num_classes=10, **config["args"]
    )
    for module in model.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            if config["initializer"] == "kaiming_normal":
                torch.nn.init.kaiming_normal_(module.weight)
            elif config["initializer"] == "orthogonal":
                torch.nn.init.orthogonal_(module.weight)
    optimizer = create_optimizer_v2(
        model, opt="adamw", lr=config["learning_rate"], weight_decay=config["weight_decay"]
    )
    schedule, _ = create_scheduler_v2(
        optimizer,
        sched="cosine",
        num_epochs=config["epochs"],
        warmup_epochs=config["warmup_epochs"],
        step_on_epochs=False,
        updates_per_epoch=len(batches),
    )
    mark("build")

    def accuracy(loader: DataLoader[Any]) -> float:
        model.eval()
        with torch.no_grad():
            right = sum(int((model(x).argmax(-1) == y).sum()) for x, y in loader)
        return right / len(loader.dataset)  # type: ignore[arg-type]

    updates = 0
    for _ in range(config["epochs"]):
        model.train()
        for images, labels in batches:
            schedule.step_update(updates)
            optimizer.zero_grad()
            functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            updates += 1
        accuracy(held_out)
    found = accuracy(test)
    mark("train")
    seconds = {part: end - marks[at][1] for at, (part, end) in enumerate(marks[1:])}
    labels = {key: config[key] for key in ("architecture", "initializer", "seed")}
    return {**labels, "accuracy": found, "seconds": seconds}


def loop(configs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Train one after the other in this process."""
    return [train(config) for config in configs]


def tune(configs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Train with Ray Tune, one trial a core at a time, each in a process of its own."""
    import ray
    from ray import tune as ray_tune

    ray.init(address="local", include_dashboard=False, log_to_driver=False)

    def trainable(space: dict[str, Any]) -> None:
        ray_tune.report({"found": train(space["trial"]), "accuracy": 0.0})

    with tempfile.TemporaryDirectory() as folder:
        tuner = ray_tune.Tuner(
            ray_tune.with_resources(trainable, {"cpu": 1}),
            param_space={"trial": ray_tune.grid_search(configs)},
            run_config=ray_tune.RunConfig(storage_path=folder, verbose=0),
        )
        return [result.metrics["found"] for result in tuner.fit()]  # type: ignore[index]


if __name__ == "__main__":
    grid = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    for each in {"tune": tune, "loop": loop}[sys.argv[1]](grid):
        print(json.dumps(each))
