"""The records that a comparison or a plan of seeds reads: results folders, boards, tidy tables."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmark.errors import UsageError, unknown_name
from benchmark.publishing.text import plain

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.publishing.evidence import Evidence

Cell = tuple[str, str, str]

DEFAULT_BASELINE = "timm"
DEFAULT_MARGIN = 0.05
DEFAULT_TARGET = 0.005

_NAMES = ("dataset", "architecture", "recipe", "treatment", "initializer", "rewiring", "status")


@dataclass(frozen=True)
class Source:
    """A tidy table, and the rules that the records' grid or the command line sets for it.

    `evidence` is None where all sources are tables; `declared` are then the cells of the table.
    """

    names: tuple[str, ...]
    table: pd.DataFrame
    baseline: str
    family: int
    margin: float
    target: float
    evidence: Evidence | None = None

    @property
    def treatments(self) -> list[str]:
        """The treatments that have a row or are declared."""
        known = set(self.table["treatment"])
        return sorted(known | set(self.evidence.treatments if self.evidence else ()))

    @property
    def declared(self) -> list[Cell]:
        """The cells that the grid declares, else those of the table, sorted."""
        if self.evidence:
            return self.evidence.cells
        columns = [self.table[name] for name in ("dataset", "architecture", "recipe")]
        return sorted(set(zip(*columns, strict=True)))

    def find(self, name: str) -> str:
        """Return the treatment that `name` spells; raises UsageError with the nearest names."""
        return find_treatment(name, self.treatments)


def read_sources(
    sources: Sequence[str],
    *,
    baseline: str | None = None,
    family: int | None = None,
    margin: float | None = None,
    target: float | None = None,
) -> Source:
    """Read results folders, boards and tables (.csv) as one table, each trial once.

    What is not given comes from the manifests; tables have none: then the baseline is timm, the
    family the number of treatments less one, margin and target those of a config that says
    nothing. Raises UsageError or StoreError for sources that cannot be read or that disagree.
    """
    from benchmark.publishing.table_source import is_table

    if not sources:
        raise UsageError("say where the records are: --records DIR or --records TABLE.csv")
    if family is not None and family < 1:
        raise UsageError(f"--family {family}: a family is a number of comparisons, at least 1")
    for option, value in (("margin", margin), ("target", target)):
        if value is not None and not 0 < value < 1:
            raise UsageError(f"--{option} {value:g}: write a share between 0 and 1, as in 0.05")
    given: dict[str, Any] = {
        key: value for key, value in {"margin": margin, "target": target}.items() if value
    }
    if not all(map(is_table, sources)):
        read = _read_folders(sources, baseline, family)
    else:
        read = _read_tables(sources, baseline, family)
    return replace(read, **given)


def find_treatment(name: str, known: Iterable[str]) -> str:
    """Return the one of the `known` treatments that `name` means.

    Names are compared in their canonical spelling where the registries know them, otherwise as
    they are. Raises UsageError with the nearest names.
    """
    known = list(known)
    if name in known:
        return name
    spelled = {canonical(each): each for each in known}
    if (found := spelled.get(canonical(name))) is None:
        raise UsageError(unknown_name("treatment", name, known))
    return found


def canonical(treatment: str) -> str:
    """Return a treatment in its one spelling; one that the registries do not know as it is."""
    from benchmark.treatment import parse_treatment

    try:
        return str(parse_treatment(treatment))
    except UsageError:
        return treatment


def _read_folders(sources: Sequence[str], baseline: str | None, family: int | None) -> Source:
    from benchmark.publishing.evidence import gather

    evidence = gather(sources, baseline=baseline and canonical(baseline), family=family)
    manifest = evidence.manifest
    if not len(evidence.frame):
        raise UsageError(f"{sources[0]} has no records yet")
    return Source(
        tuple(sources),
        evidence.frame,
        evidence.baseline,
        int(manifest["family"]),
        float(manifest["margin"]),
        float(manifest["target"]),
        evidence,
    )


def _read_tables(sources: Sequence[str], baseline: str | None, family: int | None) -> Source:
    import pandas as pd

    tables = [_read_table(source) for source in sources]
    for source, own in zip(sources, tables, strict=True):
        _check_table(own, source)
    table = pd.concat(tables, ignore_index=True)
    if len(tables) > 1:
        _check_table(table, " + ".join(sources))
    treatments = set(table["treatment"])
    return Source(
        tuple(sources),
        table,
        baseline or DEFAULT_BASELINE,
        family or max(len(treatments) - 1, 1),
        DEFAULT_MARGIN,
        DEFAULT_TARGET,
    )


def _check_table(table: pd.DataFrame, source: str) -> None:
    from benchmark.statistics import TableError, validate

    try:
        validate(table)
    except TableError as error:
        raise UsageError(f"{source}: {error}") from error


def _read_table(source: str) -> pd.DataFrame:
    import pandas as pd

    from benchmark.publishing.table_source import table_bytes

    data = table_bytes(source)
    try:
        return pd.read_csv(
            io.BytesIO(data),
            dtype=dict.fromkeys(_NAMES, str),
            keep_default_na=False,
            na_values=[""],
            float_precision="round_trip",
        )
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{source} cannot be read as a table: {error}") from error


def cell_labels(cells: Sequence[Cell]) -> dict[Cell, str]:
    """Return a name for every cell, without what all of them have in common."""
    shared = [len(set(column)) == 1 for column in zip(*cells, strict=True)]
    return {
        cell: plain(
            " / ".join([part for part, same in zip(cell, shared, strict=True) if not same] or cell)
        )
        for cell in cells
    }


def common_parts(cells: Sequence[Cell]) -> list[str]:
    """Return what all cells have in common, as in "recipe short"."""
    kinds = ("data set", "architecture", "recipe")
    columns = zip(kinds, *cells, strict=True)
    return [plain(f"{kind} {names[0]}") for kind, *names in columns if len(set(names)) == 1]
