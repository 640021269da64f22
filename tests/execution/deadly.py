"""The real worker, whose process is killed in the middle of training: once, which a file tells."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from benchmark.execution.jobs import Settings
from benchmark.execution.ray_actor import Greeting, WorkerActor


class DeadlyActor(WorkerActor):
    """Dies at an update; `updates` in its data folder lists those that were begun before and after.

    The data folder's file `kill_at` names the update.
    """

    def ready(self, settings: Settings) -> Greeting:
        greeting = super().ready(settings)
        from benchmark.training.network import Network

        original, folder = Network.step, Path(settings.data_dir or "")
        kill_at = int((folder / "kill_at").read_text(encoding="utf-8"))

        def step(network: Network, *batch: Any) -> None:
            if network._update == kill_at and not (folder / "killed").exists():
                (folder / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            with (folder / "updates").open("a", encoding="utf-8") as file:
                file.write(f"{network._update} ")
            original(network, *batch)

        Network.step = step  # type: ignore[method-assign]
        return greeting
