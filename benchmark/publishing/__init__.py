"""From records to what readers see: board, page, plots and tables."""

from benchmark.publishing.board import Board, evidence_hash, publish
from benchmark.publishing.diff import diff
from benchmark.publishing.export import export
from benchmark.publishing.index import check_all, has_board, keeps_index, write_index
from benchmark.publishing.terminal import terminal_ranking

__all__ = [
    "Board",
    "check_all",
    "diff",
    "evidence_hash",
    "export",
    "has_board",
    "keeps_index",
    "publish",
    "terminal_ranking",
    "write_index",
]
