"""What methods give in another process: one that hashes otherwise and has no plugin's file."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from benchmark import plugins
from benchmark.plugins import Plugin, installed_plugins
from benchmark.registry import Registry
from benchmark.testing.verdicts import NotApplicable, Unmet

SPECIMEN, DATA_SET, ARCHITECTURE = "specimen", "data set", "architecture"

_TIMEOUT = 240.0


class Question(NamedTuple):
    """What a method gives: `text` names it, `where` is the network that a treatment is applied to.

    For a data set or an architecture, `where` is the kind.
    """

    text: str
    where: str


Key = tuple[Question, tuple[Plugin, ...]]

_answers: dict[Key, str] = {}
_running: list[tuple[list[Key], subprocess.Popen[str]]] = []
"""A process takes longer to start than to answer: what was asked is kept, and asked ahead."""


def question_of(registry: Registry[Any], text: str) -> Question | None:
    """Return the question that the checks of a method will ask first."""
    if registry is plugins.initializers:
        return Question(text, SPECIMEN)
    if registry is plugins.rewirings:
        return Question(f"timm+{text}", SPECIMEN)
    if registry is plugins.recipes:
        return None
    return Question(text, registry.kind)


def start(questions: Sequence[Question]) -> None:
    """Put questions to another process, whose answers `digest` will wait for."""
    installed = tuple(installed_plugins())
    inquiry = {"plugins": [asdict(plugin) for plugin in installed], "questions": questions}
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmark.testing.elsewhere"],
        env={**os.environ, "PYTHONHASHSEED": seed},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if process.stdin:
        process.stdin.write(json.dumps(inquiry))
        process.stdin.close()
        process.stdin = None
    _running.append(([(question, installed) for question in questions], process))


def digest(text: str, where: str) -> str:
    """Return the digest of what a method gives in another process; raises Unmet if it fails."""
    key = Question(text, where), tuple(installed_plugins())
    if key not in _answers:
        _collect()
    if key not in _answers:
        start([key[0]])
        _collect()
    answer = _answers[key]
    if answer.startswith("!"):
        raise Unmet(f"it fails in another process: {answer[1:]}")
    return answer


def _collect() -> None:
    while _running:
        keys, process = _running.pop()
        try:
            out, errors = process.communicate(timeout=_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            out, errors = process.communicate()
            errors = f"it did not answer within {_TIMEOUT:.0f} s"
        if process.returncode:
            lines = errors.strip().splitlines() or [f"exit code {process.returncode}"]
            answers = ["!" + lines[-1]] * len(keys)
        else:
            answers = json.loads(out)
        _answers.update(zip(keys, answers, strict=True))


def digest_here(question: Question) -> str:
    """Return the digest of what a method gives in this process, for seed 0."""
    from benchmark import models
    from benchmark.initialization import initialize
    from benchmark.testing import specimens
    from benchmark.testing.state import snapshot

    if question.where == DATA_SET:
        return data_digest(question.text)
    if question.where == ARCHITECTURE:
        model = models.build(
            question.text,
            channels=3,
            classes=specimens.CLASSES,
            image_size=models.own_image_size(question.text),
            seed=0,
        )
        return snapshot(model).digest
    model = specimens.build(question.where)
    with specimens.one_thread():
        initialize(model, question.text, seed=0, batch=specimens.batch())
    return snapshot(model).digest


def data_digest(text: str) -> str:
    """Return a hash of the images and labels of a data set in memory, or of its paths and labels.

    Raises NotApplicable where the data are not there.
    """
    from benchmark.datasets.images import ArrayImages
    from benchmark.errors import UsageError

    method, arguments = plugins.datasets.resolve(text)
    try:
        images = method.function(None, **arguments)
    except UsageError as error:
        raise NotApplicable(str(error)) from error
    digest = hashlib.sha256()
    for part in (images.train, images.test):
        content = part.pixels.tobytes() if isinstance(part, ArrayImages) else repr(part.paths)
        digest.update(content if isinstance(content, bytes) else content.encode())
        digest.update(part.labels.tobytes())
    return digest.hexdigest()[:16]
