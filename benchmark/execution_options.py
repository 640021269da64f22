"""The `execution` section of a config: where and how trials are run, and with what patience."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from benchmark.axes import Listed, Section
from benchmark.problems import contradiction


class Execution(Section):
    """Where and how trials are run; nothing here is part of a trial's id."""

    executor: Literal["ray", "inline"] = Field(
        default="ray", description="ray: workers on one machine or many; inline: this process."
    )
    address: str | None = Field(
        default=None, description="Ray cluster to join; null: RAY_ADDRESS, else a local one."
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        description="Most workers on a node; null: as many as its devices allow.",
    )
    cohort_size: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        default="auto", description="Trials trained together on one stream of batches."
    )
    threads: int = Field(default=1, ge=1, description="CPU threads of a worker that has no GPU.")
    gpus_per_worker: float = Field(
        default=1.0,
        gt=0,
        description="Share of a GPU per worker (0.25: four share one) or whole GPUs.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: a GPU where there is one."
    )
    time_limit_minutes: float | None = Field(
        default=None, gt=0, description="Most for a trial; null: ten times the measured, and five."
    )
    checkpoint_minutes: float | None = Field(
        default=10.0, gt=0, description="Minutes after which a cohort saves its state; null: never."
    )
    devices: Listed[str] = Field(
        default=(),
        description="Kinds of device to train on, names or patterns; none: all there are.",
        examples=[["H100", "*A100*80GB*"]],
    )
    wait_for_nodes_minutes: float = Field(
        default=0.0,
        ge=0,
        description="Minutes to wait for nodes with room for a worker, which Ray's autoscaler is"
        " asked for; 0: the nodes that are there, and no request.",
    )
    attempts: int = Field(default=3, ge=1, description="Tries of a trial whose worker was lost.")

    @field_validator("gpus_per_worker")
    @classmethod
    def _share_or_whole(cls, value: float) -> float:
        if value > 1 and not value.is_integer():
            raise contradiction([((), f"{value} is neither a share of one GPU nor whole GPUs")])
        return value
