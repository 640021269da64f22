"""What timm holds, kept from its last import: to import it takes seconds, to name its models none.

A file in the user's cache folder, for one version of timm, of torch and of this package's code. It
only ever says what there is: whatever it does not know is asked of timm itself, and so is all once
timm is loaded. Where the file cannot be read or written, timm is imported each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypedDict, cast

_DECISIVE = ("models/*.py", "recipe.py", "training/optimization.py")
"""Files of this package whose content decides what there is and which recipes are accepted."""

_MOST_RECIPES = 1000


class _Content(TypedDict):
    """`recipes` are keys of recipes that timm takes, the latest last."""

    architectures: list[str]
    optimizers: dict[str, str]
    recipes: list[str]


def architectures() -> list[str] | None:
    """Return the models of timm and of this package, as timm sorts them.

    None where timm is loaded: it may hold more by now, and is to be asked itself.
    """
    content = None if _timm_is_loaded() else _content()
    return content["architectures"] if content else None


def optimizers() -> dict[str, str]:
    """Return timm's optimizers, each with a line on it."""
    content = None if _timm_is_loaded() else _content()
    return content["optimizers"] if content else _ask_timm()["optimizers"]


def accepts(recipe: str) -> bool:
    """Whether timm is known to take the optimizer and schedule of a recipe, given its key."""
    return not _timm_is_loaded() and recipe in _content()["recipes"]


def accept(recipe: str, optimizer: str) -> None:
    """Keep that timm takes a recipe, given its key, unless its optimizer is a plugin's."""
    content = _read()
    if content and recipe not in content["recipes"] and optimizer in content["optimizers"]:
        _write({**content, "recipes": [*content["recipes"], recipe][-_MOST_RECIPES:]})


def _timm_is_loaded() -> bool:
    return "timm" in sys.modules


def _content() -> _Content:
    content = _read()
    if content is None:
        content = _ask_timm()
        _write(content)
    return content


def _ask_timm() -> _Content:
    from timm.models import list_models
    from timm.optim import get_optimizer_info, list_optimizers

    from benchmark import models

    models.import_own_models()
    names = map(str, list_optimizers())
    described = {name: str(get_optimizer_info(name).description) for name in names}
    return {"architectures": list_models(), "optimizers": described, "recipes": []}


def _file() -> Path:
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "initbench" / f"timm-{_key()}.json"


@cache
def _key() -> str:
    package = Path(__file__).parent
    decisive = [path for pattern in _DECISIVE for path in sorted(package.glob(pattern))]
    digest = hashlib.sha256(f"{version('timm')} {version('torch')}".encode())
    for path in decisive:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _read() -> _Content | None:
    """Return what is kept; None for nothing, or for what this module did not write."""
    try:
        content = json.loads(_file().read_text(encoding="utf-8"))
        names = [*content["architectures"], *content["recipes"]]
        texts = [*names, *content["optimizers"], *content["optimizers"].values()]
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError):
        return None
    whole = content["architectures"] and content["optimizers"]
    return cast(_Content, content) if whole and all(isinstance(t, str) for t in texts) else None


def _write(content: Any) -> None:
    """Put the file in place as a whole, or leave things as they are."""
    with contextlib.suppress(OSError, RuntimeError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        # The folder goes with what is left in it, if the disk is full.
        with tempfile.TemporaryDirectory(dir=_file().parent) as folder:
            unfinished = Path(folder) / _file().name
            unfinished.write_text(json.dumps(content), encoding="utf-8")
            os.replace(unfinished, _file())
