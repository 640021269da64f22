"""From records to what readers see: board, page, plots, citations and tables."""

from benchmark.publishing.board import Board, check, publish
from benchmark.publishing.cite import Citation, cite
from benchmark.publishing.diff import diff
from benchmark.publishing.export import export
from benchmark.publishing.index import check_all, index, write_index
from benchmark.publishing.terminal import terminal_ranking

__all__ = [
    "Board",
    "Citation",
    "check",
    "check_all",
    "cite",
    "diff",
    "export",
    "index",
    "publish",
    "terminal_ranking",
    "write_index",
]
