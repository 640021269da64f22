"""Recipes that a config may name: one file each, entered by its decorator."""

from __future__ import annotations

from pydantic import ValidationError

from benchmark import plugins
from benchmark.errors import UsageError
from benchmark.problems import dotted, findings_of
from benchmark.recipe import Recipe


def look_up(name: str) -> Recipe:
    """Return the recipe that a name stands for; raises UsageError for what is none."""
    method, arguments = plugins.recipes.resolve(name)
    values = method.function(**arguments)
    if not isinstance(values, dict):
        raise UsageError(
            f"recipe {name!r} returns {type(values).__name__}; return a dictionary, as in"
            ' {"epochs": 10}'
        )
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        path, what = findings_of(error, values, Recipe)[0]
        raise UsageError(f"recipe {name!r}: {dotted(path)}: {what}") from error
