"""A claim that can be traced: sentence, table rows, BibTeX and the hash of its evidence."""

from __future__ import annotations

import re
from dataclasses import dataclass

from benchmark.errors import UsageError
from benchmark.publishing.board import evidence_hash
from benchmark.publishing.evidence import Evidence, gather
from benchmark.publishing.findings import find
from benchmark.publishing.summary import scope
from benchmark.publishing.tables import table
from benchmark.publishing.text import (
    MINUS,
    NOTHING,
    change,
    change_interval,
    counted,
    md,
    p_value,
    plain,
    share,
    slug,
)
from benchmark.statistics.results import Analysis, Failures, Headline

_LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    MINUS: r"$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
    NOTHING: "--",
    "…": r"\ldots{}",
}
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


def cite(board: str, a: str | None = None, b: str | None = None) -> Citation:
    """Return the citation of treatment `a` against `b`: by default, the first against the baseline.

    `board` is a board or a results folder. The p of a comparison with another reference than the
    baseline allows for as many comparisons as the board's own. Raises UsageError for unknown
    treatments, or where there is nothing to cite.
    """
    from benchmark.commands.comparing import compare_two
    from benchmark.commands.comparison_sentence import sentence
    from benchmark.commands.sources import read_sources

    evidence = gather([board])
    sha = evidence_hash(evidence)
    compared = compare_two(read_sources([board]), a or _first(evidence), b)
    row = _row(compared.analysis, compared.treatment, compared.reference, compared.headline)
    return Citation(
        sentence=sentence(compared),
        latex=" & ".join(map(latex, row)) + r" \\",
        markdown=table(_HEADERS, [(md(row[0]), md(row[1]), *row[2:])], "llrrrlrr"),
        bibtex=_bibtex(evidence, sha),
        evidence=sha,
    )


def latex(text: object) -> str:
    """Escape a text for LaTeX."""
    return "".join(_LATEX.get(letter, letter) for letter in plain(text))


def _first(evidence: Evidence) -> str:
    """The first of the board's ranking."""
    findings = find(evidence)
    ranking = findings.analysis.ranking if findings.analysis else ()
    if not ranking:
        raise UsageError("the board ranks nothing yet; name the two treatments to cite")
    return ranking[0].treatment


def _row(
    analysis: Analysis, treatment: str, reference: str, headline: Headline | None
) -> tuple[str, ...]:
    failures: dict[str, Failures] = {row.treatment: row for row in analysis.failures}
    own = failures[treatment]
    found = (NOTHING, NOTHING, NOTHING, "not tested")
    over = ""
    if headline:
        found = (
            change(headline.change_percent),
            change_interval(headline.low_percent, headline.high_percent),
            p_value(headline.p_family),
            headline.verdict,
        )
        over = f", {scope(headline)}"
    cells = counted(len(analysis.cells), "cell") + over
    return treatment, reference, *found, share(own.k, own.n), cells


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
