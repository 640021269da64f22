"""Where a board's plots lie, and what they show in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """A plot's path in the board's folder, and what it shows, in words."""

    path: str
    alt: str


@dataclass(frozen=True)
class Pictures:
    """The plots of a board; those that would say nothing are None or left out."""

    forest: Picture | None = None
    heatmap: Picture | None = None
    ranks: Picture | None = None
    strength: Picture | None = None
    curves: tuple[Picture, ...] = ()
    seeds: tuple[Picture, ...] = ()
