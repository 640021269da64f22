"""GridConfig: what to train and how, read from YAML; errors name file, line, key and remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath
from typing import Annotated, Any

from pydantic import (
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from benchmark.axes import Axes, Listed, Section, TreatmentName, seed_list
from benchmark.document import (
    ConfigError,
    Document,
    Problem,
    forget,
    override,
    read_document,
    write_yaml,
)
from benchmark.errors import UsageError, unknown_name
from benchmark.execution_options import Execution
from benchmark.plugins import load_plugins
from benchmark.problems import Finding, Path, contradiction, findings_of
from benchmark.recipe import Recipe
from benchmark.recipes import look_up
from benchmark.treatment import Treatment, parse_treatment

__all__ = ["ConfigError", "GridConfig", "Problem", "config_schema", "load_config"]

DEFAULT_RECIPE = "default"

_FOLDER_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"


class Contrast(Section):
    """A comparison of two treatments beside those with the baseline."""

    name: str = Field(min_length=1, description="What the comparison is called on the board.")
    a: TreatmentName = Field(description="Treatment that is compared.")
    b: TreatmentName = Field(description="Treatment that it is compared with.")


class GridConfig(Section):
    """One grid: what is trained, how, and how it is compared."""

    name: str = Field(
        pattern=_FOLDER_NAME,
        max_length=100,
        description="Names the folder of the results, results/NAME; letters, digits, - and _.",
    )
    grid: Axes = Field(description="What is combined with what.")
    baseline: TreatmentName = Field(
        default="timm", description="The treatment that every other is compared with."
    )
    recipe: Recipe = Field(
        default=Recipe(),
        description="How networks are trained; called 'default' where it is the only one.",
    )
    recipes: dict[str, dict[str, Any]] = Field(
        default={},
        description="Several recipes by name, each with what differs from `recipe`; or a list of"
        " names that 'initbench list recipes' shows.",
        examples=[{"short": {"epochs": 10}, "long": {"epochs": 100}}, ["digits_quick"]],
    )
    data_dir: str | None = Field(
        default=None,
        description="Folder of downloaded data sets, on every node; null: the usual one.",
    )
    plugins: Listed[str] = Field(
        default=(),
        description="Plugin files, relative to this file, or importable modules.",
        examples=[["my_init.py"]],
    )
    family: int | None = Field(
        default=None,
        ge=1,
        description="Number of comparisons that the family-wise p allows for; null: the"
        " treatments less the baseline.",
    )
    margin: float = Field(
        default=0.05, gt=0, lt=1, description="Relative change of the test error without relevance."
    )
    target: float = Field(
        default=0.005, gt=0, lt=1, description="Difference in accuracy that seeds are planned for."
    )
    contrasts: Listed[Contrast] = Field(
        default=(),
        description="Comparisons beside those with the baseline.",
        examples=[[{"name": "balance", "a": "orthogonal+pa", "b": "orthogonal+shuffle"}]],
    )
    contrast_families: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default={},
        description="Number of contrasts that the family-wise p of a contrast family allows for,"
        " by the family's name; others: as many as the treatments make.",
        examples=[{"rewiring against none": 20}],
    )
    execution: Execution = Field(default=Execution(), description="Where and how trials are run.")

    _document: Document = PrivateAttr(default_factory=Document)

    def __eq__(self, other: object) -> bool:
        """Configs are equal if their content is, wherever it was written."""
        return isinstance(other, GridConfig) and self.model_dump() == other.model_dump()

    @field_validator("recipes")
    @classmethod
    def _differences_make_recipes(
        cls, value: dict[str, dict[str, Any]], info: ValidationInfo
    ) -> dict[str, dict[str, Any]]:
        findings: list[Finding] = []
        made: dict[str, Recipe] = {}
        base = info.data.get("recipe", Recipe()).model_dump()
        for name, differences in value.items():
            if not re.fullmatch(_FOLDER_NAME, name):
                findings.append(((name,), f"{name!r} names a recipe; use letters, digits, - and _"))
            try:
                recipe = Recipe.model_validate(base | differences)
            except ValidationError as error:
                below = findings_of(error, base | differences, Recipe)
                findings += [((name, *path), what) for path, what in below]
                continue
            for other, earlier in made.items():
                if earlier == recipe:
                    findings.append(((name,), f"is the same recipe as {other!r}"))
            made[name] = recipe
        if findings:
            raise contradiction(findings)
        dumped = {name: recipe.model_dump(mode="json") for name, recipe in made.items()}
        return {name: {key: dumped[name][key] for key in value[name]} for name in value}

    @model_validator(mode="after")
    def _consistent(self) -> GridConfig:
        if findings := list(_contradictions(self)):
            raise contradiction(findings)
        return self

    @property
    def named_recipes(self) -> dict[str, Recipe]:
        """The recipes by the name that they have on boards."""
        base = self.recipe.model_dump()
        made = {name: Recipe.model_validate(base | own) for name, own in self.recipes.items()}
        return made or {DEFAULT_RECIPE: self.recipe}

    @property
    def seeds(self) -> tuple[int, ...]:
        return seed_list(self.grid.seeds)

    @property
    def treatments(self) -> tuple[Treatment, ...]:
        """Initializers x rewirings, then those written out, then those of `include`."""
        every = (*self.grid.product, *self.grid.treatments)
        every += tuple(rule.treatment for rule in self.grid.include if rule.treatment)
        return tuple(parse_treatment(text) for text in dict.fromkeys(every))

    @property
    def plugin_files(self) -> list[str]:
        """The plugins as `benchmark.plugins.load_plugins` takes them."""
        return [plugin_file(self._document, text) for text in self.plugins]

    def problem(self, path: Path, what: str) -> Problem:
        """Return the problem with the value at `path`, with the line it was written on."""
        return self._document.problem(path, what)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data from which the same config is made; defaults are left out."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def to_yaml(self) -> str:
        """Return the text of a file from which `load_config` reads the same config."""
        return write_yaml(self.to_dict())


def load_config(path: str | FilePath, overrides: Sequence[str] = ()) -> GridConfig:
    """Read a config file, with overrides like "recipe.epochs=3" on top.

    An override of a key of `recipe` reaches the named recipes too, also those that set the key
    themselves. Plugins are installed, then the names of data sets, initializers and rewirings are
    checked; what needs timm is left to `benchmark.grid.expand`. Raises ConfigError with every
    problem found.
    """
    document = read_document(path)
    problems: list[Problem] = []
    overridden: set[str] = set()
    for text in overrides:
        try:
            overridden |= _override(document, text)
        except ConfigError as error:
            problems += error.problems
    problems += [*document.problems, *_install_plugins(document)]
    problems += _look_up_recipes(document, overridden)
    try:
        config = GridConfig.model_validate(document.data)
        config._document = document
    except ValidationError as error:
        findings = findings_of(error, document.data, GridConfig)
        problems += [document.problem(where, what) for where, what in findings]
    if problems:
        raise ConfigError(problems)
    return config


def config_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of config files, by which editors complete them."""
    schema = GridConfig.model_json_schema()
    recipes = schema["properties"]["recipes"]
    del recipes["type"], recipes["additionalProperties"]
    recipes["anyOf"] = [
        {"type": "object", "additionalProperties": {"$ref": "#/$defs/Recipe"}},
        {"type": "array", "items": {"type": "string"}},
    ]
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **schema, "title": "initbench grid"}


def plugin_file(document: Document, text: str) -> str:
    """Return where a plugin lies that a config names relative to itself."""
    return str(FilePath(document.name).parent / text) if text.endswith(".py") else text


def _override(document: Document, text: str) -> set[str]:
    """Override a value; return the key of `recipe` that it is, which holds for every recipe."""
    path = override(document, text)
    if path[0] != "recipe" or len(path) < 2:
        return set()
    named = document.data.get("recipes")
    for name, differences in named.items() if isinstance(named, dict) else ():
        if isinstance(differences, dict) and path[1] in differences:
            del differences[path[1]]
            forget(document, ("recipes", name, path[1]))
    return {str(path[1])}


def _look_up_recipes(document: Document, overridden: set[str]) -> list[Problem]:
    """Put what named recipes stand for in place of a list of their names."""
    names = document.data.get("recipes")
    if not isinstance(names, list):
        return []
    problems, found = [], {}
    for index, name in enumerate(names):
        try:
            whole = look_up(str(name)).model_dump(mode="json")
        except UsageError as error:
            problems.append(document.problem(("recipes", index), str(error)))
            continue
        found[str(name)] = {key: own for key, own in whole.items() if key not in overridden}
    document.data["recipes"] = found
    return problems


def _install_plugins(document: Document) -> Iterator[Problem]:
    load_plugins()
    files = document.data.get("plugins")
    for index, text in enumerate(files if isinstance(files, list) else []):
        if isinstance(text, str):
            try:
                load_plugins([plugin_file(document, text)])
            except UsageError as error:
                yield document.problem(("plugins", index), str(error))


def _contradictions(config: GridConfig) -> Iterator[Finding]:
    """Yield what each key allows but the keys together do not."""
    treatments = [str(treatment) for treatment in config.treatments]
    listed = ", ".join(treatments)
    if not treatments:
        yield ("grid",), "names no treatment; list initializers, or treatments written out"
        return
    for index, text in enumerate(config.grid.treatments):
        if text in config.grid.product:
            what = f"{text!r} is named twice: initializers x rewirings make it already"
            yield ("grid", "treatments", index), what
    if config.baseline not in treatments:
        what = f"{config.baseline!r} is not among the treatments ({listed})"
        yield ("baseline",), f"{what}; add it, or write another baseline"
    names = [contrast.name for contrast in config.contrasts]
    for index, contrast in enumerate(config.contrasts):
        if contrast.name in names[:index]:
            yield ("contrasts", index, "name"), f"{contrast.name!r} is given twice"
        if contrast.a == contrast.b:
            yield ("contrasts", index), f"compares {contrast.a!r} with itself"
        for side in ("a", "b"):
            if (treatment := getattr(contrast, side)) not in treatments:
                what = f"{treatment!r} is not among the treatments ({listed})"
                yield ("contrasts", index, side), what
    if config.contrast_families:
        from benchmark.statistics.contrasts import FAMILIES

        for name in sorted(config.contrast_families.keys() - set(FAMILIES)):
            yield ("contrast_families", name), unknown_name("contrast family", name, FAMILIES)
    for index, rule in enumerate(config.grid.include):
        if rule.recipe is not None and rule.recipe not in config.named_recipes:
            recipes = ", ".join(config.named_recipes)
            what = f"{rule.recipe!r} is not among the recipes ({recipes})"
            yield ("grid", "include", index, "recipe"), what
