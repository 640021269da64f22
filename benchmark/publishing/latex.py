"""Text for LaTeX."""

from __future__ import annotations

from benchmark.publishing.text import MINUS, NOTHING, plain

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


def latex(text: object) -> str:
    """Escape a text for LaTeX."""
    return "".join(_LATEX.get(letter, letter) for letter in plain(text))
