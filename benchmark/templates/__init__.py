"""The files that `initbench new-plugin` writes, one for each kind of plugin."""

from __future__ import annotations

from importlib.resources import files
from string import Template
from typing import Literal, get_args

Kind = Literal["tensor", "model", "data", "rewiring", "dataset", "architecture", "recipe"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def fill(kind: Kind, name: str) -> str:
    """Return the text of a plugin called `name`."""
    text = files(__name__).joinpath(f"{kind}.py.txt").read_text(encoding="utf-8")
    return Template(text).substitute(name=name)
