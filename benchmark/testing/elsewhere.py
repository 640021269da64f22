"""The other process of `benchmark.testing.processes`: plugins and questions in, digests out.

Both are JSON, on standard input and output. A plugin comes as its source: its file may be missing.
"""

from __future__ import annotations

import json
import sys

from benchmark.plugins import Plugin, install_plugin
from benchmark.testing.processes import Question, digest_here


def main() -> None:
    """Answer what standard input asks; an answer that begins with ! says what failed."""
    inquiry = json.load(sys.stdin)
    for plugin in inquiry["plugins"]:
        install_plugin(Plugin(**plugin))
    answers = [_answer(Question(*question)) for question in inquiry["questions"]]
    sys.stdout.write(json.dumps(answers))


def _answer(question: Question) -> str:
    try:
        return digest_here(question)
    except Exception as error:
        return f"!{type(error).__name__}: {error}"


if __name__ == "__main__":
    main()
