"""All waiting is by clocks that never jump: only a record's date is the time of day."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import benchmark

IMPORTS = re.compile(r"^\s*(import|from) (time|datetime)\b", re.MULTILINE)
OF_THE_DAY = {"time", "time_ns", "localtime", "gmtime", "ctime", "now", "utcnow", "today"}


def looks_at_the_time_of_day(tree: ast.AST) -> bool:
    """Whether code calls time.time() or one of its relatives, or imports one by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            module = getattr(node.func.value, "id", getattr(node.func.value, "attr", ""))
            if module in ("time", "datetime", "date") and node.func.attr in OF_THE_DAY:
                return True
        from_them = isinstance(node, ast.ImportFrom) and node.module in ("time", "datetime")
        if from_them and OF_THE_DAY & {each.name for each in node.names}:
            return True
    return False


def test_only_the_date_of_a_record_is_the_time_of_day() -> None:
    files = sorted(Path(benchmark.__file__).parent.rglob("*.py"))
    assert len(files) > 100
    assert [
        file.name
        for file in files
        if IMPORTS.search(text := file.read_text(encoding="utf-8"))
        and looks_at_the_time_of_day(ast.parse(text))
    ] == ["provenance.py"]


def test_such_code_would_be_seen() -> None:
    for code in (
        "import time\nend = time.time() + 5",
        "from time import time\ntime()",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime\ndatetime.now()",
    ):
        assert looks_at_the_time_of_day(ast.parse(code)), code
    assert not looks_at_the_time_of_day(ast.parse("import time\ntime.monotonic()"))
