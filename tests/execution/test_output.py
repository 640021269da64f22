"""A worker's output is kept whatever ends it, and never more than a bounded part."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.execution.output import HALF_BYTES, last_words

BEGIN = """
import os, signal, sys
from benchmark.execution.output import Output
output = Output()
os.write(3, output.path.encode())
print("before")
output.begin("job 1")
print("of the first job")
output.begin("job 2")
print("hello from Python")
os.write(2, b"hello from C\\n")
"""


def left_behind(last_line: str, tmp_path: Path) -> str:
    """Return the output of a process that ends so, once its pipe has been emptied."""
    said = tmp_path / "path"
    code = f"import os; os.dup2(os.open({str(said)!r}, os.O_WRONLY | os.O_CREAT), 3)\n{BEGIN}"
    subprocess.run([sys.executable, "-c", code + last_line], check=False, timeout=60)
    path = said.read_text(encoding="utf-8")
    text = last_words(path, "job 2")
    assert not list(Path(path).parent.glob(Path(path).name + "*"))
    return text


@pytest.mark.parametrize(
    "end",
    [
        "",
        "os._exit(3)",
        "sys.stdout.flush(); os.kill(os.getpid(), signal.SIGKILL)",
        "import ctypes; ctypes.string_at(0)",
    ],
)
def test_the_last_words_of_a_process_survive_it(end: str, tmp_path: Path) -> None:
    text = left_behind(f"sys.stdout.flush(); {end}", tmp_path)
    assert text.startswith("hello from Python\nhello from C")
    assert ("Segmentation fault" in text) == ("string_at" in end)


def test_of_much_output_the_end_is_kept(tmp_path: Path) -> None:
    much = "for _ in range(200): os.write(1, b'x' * 65536)\nos._exit(0)"
    text = left_behind(f"sys.stdout.flush()\n{much}", tmp_path)
    assert text.startswith("[the beginning was dropped]")
    assert len(text) <= 2 * HALF_BYTES + 65_536 + 100


def test_a_worker_that_lives_on_reads_its_own_output_of_a_job(tmp_path: Path) -> None:
    file = tmp_path / "said"
    code = (
        "from benchmark.execution.output import Output\n"
        "output = Output()\n"
        "output.begin('a'); print('first'); output.begin('b'); print('second')\n"
        f"open({str(file)!r}, 'w').write(output.end('b'))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert file.read_text(encoding="utf-8") == "second\n"
