"""What a method says of itself: its summary, its docstring, its parameters."""

from __future__ import annotations

import inspect

from benchmark.errors import UsageError
from benchmark.registry import Method
from benchmark.spelling import parse_value, spell
from benchmark.testing.verdicts import Unmet
from benchmark.wording import counted

EXPECTED = "a summary in a line, a docstring, defaults that a name can spell"


def describes(method: Method) -> str:
    """Check that a method can be listed and spelled, and that it is documented."""
    if not method.summary.strip() or "\n" in method.summary:
        raise Unmet(f"the summary is {method.summary!r}; say in one line what it does")
    if not inspect.getdoc(method.function):
        raise Unmet(f"{method.function.__name__} has no docstring")
    for name, parameter in method.parameters.items():
        default = parameter.default
        if default is inspect.Parameter.empty:
            continue
        try:
            read = parse_value(spell(default))
        except UsageError as error:
            raise Unmet(f"the default of {name!r} cannot be spelled: {error}") from error
        if read != default:
            raise Unmet(
                f"the default of {name!r} is {default!r}, which reads back as {read!r}; use a"
                " number, a word, true, false or null"
            )
    return f"{method.summary!r}, {counted(len(method.parameters), 'parameter')}"
