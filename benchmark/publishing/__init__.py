"""From records to what readers see: board, page, plots, citations and tables."""

from benchmark.publishing.board import Board, check, publish
from benchmark.publishing.terminal import terminal_ranking

__all__ = ["Board", "check", "publish", "terminal_ranking"]
