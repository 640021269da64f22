"""docs/methods.md, made of what methods declare: `python -m benchmark.documentation` writes it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.plugins import Initializer, Rewiring, initializers, recipes, rewirings
from benchmark.registry import Method, Registry
from benchmark.spelling import spell

TARGET = Path("docs") / "methods.md"

_HEAD = """\
# Methods

Every initializer, rewiring and named recipe that comes with initbench, as each describes itself.
Made by `python -m benchmark.documentation`; `initbench list initializers` is the short form.

A treatment is an initializer and a rewiring, `orthogonal+pa`; parameters stand in parentheses,
`kaiming_normal(mode=fan_out)`. Marks say what a comparison has to be told: *data* and *labels* are
looked at, *deterministic* methods draw nothing, *architecture* and *learning rate* are changed.
"""


def marks(method: Method) -> list[str]:
    """Return what a comparison has to be told of a method, in words."""
    if isinstance(method, Initializer):
        declared = {
            "data": method.needs_data is True,
            "labels": method.needs_labels,
            "deterministic": method.deterministic,
            "architecture": method.changes_architecture,
            "learning rate": method.changes_learning_rate,
        }
    elif isinstance(method, Rewiring):
        declared = {"deterministic": method.deterministic, "new values": not method.permutes}
    else:
        declared = {}
    return [mark for mark, holds in declared.items() if holds]


def spelled(method: Method) -> str:
    """Return the name with its parameters and their defaults, floats to four digits."""
    parameters = [
        name
        if parameter.default is inspect.Parameter.empty
        else f"{name}={_shown(parameter.default)}"
        for name, parameter in method.parameters.items()
    ]
    return f"{method.name}({', '.join(parameters)})" if parameters else method.name


def document() -> str:
    """Return the text of docs/methods.md."""
    chapters: list[tuple[str, Registry[Any]]] = [
        ("Initializers", initializers),
        ("Rewirings", rewirings),
        ("Recipes", recipes),
    ]
    lines = [_HEAD]
    for title, registry in chapters:
        lines.append(f"## {title}\n")
        for method in registry.all():
            if not method.plugin_hash:
                lines += _section(method)
    return "\n".join(lines).rstrip() + "\n"


def _section(method: Method) -> Iterator[str]:
    yield f"### `{method.name}`\n"
    yield f"{method.summary[:1].upper()}{method.summary[1:]}.\n"
    facts = {
        "Written": f"`{spelled(method)}`" if method.parameters else "",
        "Source": _linked(method.source),
        "Marks": ", ".join(marks(method)),
    }
    if isinstance(method, Initializer):
        facts["Fills"] = "one weight after the other" if method.level == "tensor" else "the network"
    for name, value in facts.items():
        if value:
            yield f"- {name}: {value}"
    yield ""
    yield f"{inspect.getdoc(method.function) or ''}\n"


def _linked(source: str) -> str:
    for prefix, address in (("arXiv:", "https://arxiv.org/abs/"), ("doi:", "https://doi.org/")):
        if source.startswith(prefix) and " " not in source:
            return f"[{source}]({address}{source.removeprefix(prefix)})"
    return f"<{source}>" if source.startswith("https://") and " " not in source else source


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else spell(value)


def main() -> None:
    """Write docs/methods.md of the checkout that the command is run in.

    Exits with a message where there is none.
    """
    if not TARGET.parent.is_dir():
        sys.exit(f"no folder {TARGET.parent} here: run it at the root of a checkout")
    TARGET.write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
