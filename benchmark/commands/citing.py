"""`initbench cite`: a claim that can be traced, as sentence, table rows, BibTeX and hash."""

from __future__ import annotations

import re
from dataclasses import dataclass

import typer

from benchmark.commands.comparing import Compared, compare_two
from benchmark.commands.comparison_sentence import sentence
from benchmark.commands.sources import read_sources
from benchmark.errors import UsageError
from benchmark.publishing import evidence_hash
from benchmark.publishing.evidence import Evidence
from benchmark.publishing.findings import find
from benchmark.publishing.latex import latex
from benchmark.publishing.marks import Mark, marks_of
from benchmark.publishing.summary import scope
from benchmark.publishing.table_source import is_table
from benchmark.publishing.tables import table
from benchmark.publishing.text import (
    NOTHING,
    change,
    change_interval,
    listed,
    md,
    p_value,
    plain,
    share,
    slug,
)
from benchmark.publishing.verdicts import with_failures
from benchmark.wording import counted

_HEADERS = (
    "Treatment",
    "Against",
    "Test error, %",
    "95 % interval",
    "p, family-wise",
    "Verdict",
    "Diverged, k/n",
    "Cells",
)


@dataclass(frozen=True)
class Citation:
    """What to write about one comparison of a board, and what it rests on.

    `latex` is a row of a table with the columns of `markdown`; `evidence` is the SHA-256 over the
    board's sorted records.
    """

    sentence: str
    latex: str
    markdown: str
    bibtex: str
    evidence: str


def cite(board: str, treatment: str | None, reference: str | None) -> None:
    """Print the citation of one treatment against another."""
    found = citation(board, treatment, reference)
    for text in (
        found.sentence,
        found.markdown,
        f"% {' & '.join(map(latex, _HEADERS))}\n{found.latex}",
        found.bibtex,
    ):
        typer.echo(f"{text}\n")
    typer.echo(f"Evidence, SHA-256 over the sorted records: {found.evidence}")


def citation(board: str, treatment: str | None = None, reference: str | None = None) -> Citation:
    """Return the citation of `treatment`, by default the first of the ranking.

    `board` is a board or a results folder, `reference` by default its baseline. The p of a
    comparison with another reference allows for as many comparisons as the board's own. Raises
    UsageError for unknown treatments, or where there is nothing to cite.
    """
    if is_table(board):
        raise UsageError(
            f"{board} is a table; a claim rests on records: name a board or a results folder"
        )
    source = read_sources([board])
    evidence = source.evidence
    if evidence is None:
        raise UsageError(f"{board} has no records to cite")
    compared = compare_two(source, treatment or _first(evidence), reference)
    marks = marks_of(evidence.manifest)
    row = _row(compared, marks)
    sha = evidence_hash(evidence)
    return Citation(
        sentence=" ".join([sentence(compared), *_caveats(compared, marks)]),
        latex=" & ".join(map(latex, row)) + r" \\",
        markdown=table(_HEADERS, [(md(row[0]), md(row[1]), *row[2:])], "llrrrlrr"),
        bibtex=_bibtex(evidence, sha),
        evidence=sha,
    )


def _first(evidence: Evidence) -> str:
    """The first of the board's ranking."""
    findings = find(evidence)
    ranking = findings.analysis.ranking if findings.analysis else ()
    if not ranking:
        raise UsageError("the board ranks nothing yet; name the two treatments to cite")
    return ranking[0].treatment


def _caveats(compared: Compared, marks: dict[str, tuple[Mark, ...]]) -> list[str]:
    """What the two methods do besides filling weights, a sentence each."""
    return [
        f"{plain(name)} {listed(mark.meaning for mark in marks[name])}."
        for name in (compared.treatment, compared.reference)
        if marks.get(name)
    ]


def _row(compared: Compared, marks: dict[str, tuple[Mark, ...]]) -> tuple[str, ...]:
    analysis, headline = compared.analysis, compared.headline
    failures = {row.treatment: row for row in analysis.failures}
    own, other = failures[compared.treatment], failures[compared.reference]
    found = (NOTHING, NOTHING, NOTHING, "not tested")
    over = ""
    if headline:
        found = (
            change(headline.change_percent),
            change_interval(headline.low_percent, headline.high_percent),
            p_value(headline.p_family),
            with_failures(headline.verdict, own, other),
        )
        over = f", {scope(headline)}"
    names = [
        " ".join([name, *(f"({mark.meaning})" for mark in marks.get(name, ()))])
        for name in (compared.treatment, compared.reference)
    ]
    cells = counted(len(analysis.cells), "cell") + over
    return names[0], names[1], *found, share(own.k, own.n), cells


def _bibtex(evidence: Evidence, sha: str) -> str:
    manifest = evidence.manifest
    name = re.sub(r"[^a-z0-9]", "", slug(str(manifest["name"])))
    year = [f"  year = {{{evidence.date[:4]}}},"] if evidence.date else []
    return "\n".join(
        [
            f"@misc{{initbench-{name}-{sha[:8]},",
            f"  title = {{{{{latex(manifest['name'])}}}: a board of initbench}},",
            *year,
            f"  note = {{Protocol {manifest['protocol']}, {counted(len(evidence.frame), 'run')},"
            f" evidence SHA-256 {sha}}},",
            "}",
        ]
    )
