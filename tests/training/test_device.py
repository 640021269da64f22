"""The memory of the process, in processes of its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import torch
from benchmark.training.device import give_back_memory, keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
usual = faults()
keep_freed_memory()
faults()
kept = faults()
give_back_memory()
print(usual, kept, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc is left as it is")
def test_what_a_step_frees_comes_back_without_new_pages_until_it_is_given_back() -> None:
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    usual, kept, given_back = map(int, done.stdout.split())
    assert 10 * kept < usual
    assert 10 * kept < given_back
