"""What every initializer promises, as checks."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import nn

from benchmark.errors import UsageError
from benchmark.initialization import initialize
from benchmark.plugins import Initializer
from benchmark.testing import metadata, processes, specimens, tensor_level
from benchmark.testing.specimens import SPECIMEN, Batch
from benchmark.testing.state import (
    Snapshot,
    first_few,
    global_random_state,
    global_random_state_kept,
    snapshot,
)
from benchmark.testing.verdicts import Check, NotApplicable, Unmet, raised_by
from benchmark.wording import counted

TIMM_MODELS = "timm's test models"
_HOMES = (SPECIMEN, "test_resnet", "test_vit", "test_convnext")


@dataclass(frozen=True)
class Applied:
    """A network before and after a method was applied to it."""

    model: nn.Module
    before: Snapshot
    after: Snapshot

    @property
    def changed(self) -> list[str]:
        return self.before.changed(self.after)


@dataclass(frozen=True)
class Case:
    """An initializer with the arguments of its name, `text`; what it did is kept."""

    method: Initializer
    text: str
    arguments: dict[str, Any]

    @cached_property
    def home(self) -> str:
        """The network that most checks look at: the first that the method supports."""
        reasons = []
        for name in dict.fromkeys((*_HOMES, *specimens.test_models())):
            try:
                self.apply(name)
            except Unmet:
                return name
            except UsageError as error:
                reasons.append(str(error))
                continue
            return name
        raise NotApplicable(f"it supports none of the networks: {reasons[0]}")

    @cached_property
    def first(self) -> Applied:
        """What it does to its home with seed 0."""
        try:
            return self.apply(self.home)
        except Exception as error:
            raise NotApplicable("it does not run") from error

    def apply(
        self,
        network: str,
        seed: int = 0,
        *,
        prepare: Callable[[nn.Module], nn.Module] = lambda model: model,
        batch: Batch | None = None,
        reordered: bool = False,
    ) -> Applied:
        """Apply the method to a freshly built network.

        Raises UsageError where it declares not to support it, Unmet where it is refused.
        """
        model = prepare(specimens.build(network, seed, reordered=reordered))
        before = snapshot(model)
        dtype = next(model.parameters()).dtype
        images, labels = batch or specimens.batch()
        try:
            with specimens.one_thread():
                initialize(model, self.text, seed=seed, batch=(images.to(dtype), labels))
        except UsageError as error:
            if raised_by(self.method, error):
                raise
            raise Unmet(str(error)) from error
        except Exception:
            # An error that comes of it would not say what has caused it.
            _refuse_moved(before, snapshot(model))
            raise
        return Applied(model, before, snapshot(model))


def checks(case: Case) -> Iterator[Check]:
    """Yield every check of an initializer."""
    subject = f"initializer {case.text}"
    promises: list[tuple[str, str, Callable[[Case], str]]] = [
        ("runs", "it fills a network, or says why not by a UsageError", _runs),
        ("same seed", "the same seed gives the same bytes", _same_seed),
        ("seed 0", "0 is a seed like any other", _seed_zero),
        ("other seed", "another seed, other weights; none if deterministic", _other_seed),
        ("global random state", "neither read nor disturbed", _global_state),
        ("order", "the order of layers changes no weight", _order),
        ("other process", "the same bytes, whatever PYTHONHASHSEED", _other_process),
        ("touches", "Conv and Linear weights, and what it declares", _touches),
        ("surroundings", "requires_grad, dtype, device, mode, hooks and objects stay", _stay),
        ("bfloat16", "finite; the values of float32, rounded", _bfloat16),
        ("memory format", "channels_last gets the same bytes", _channels_last),
        ("variance", "that of the fans: declared, or that of an equal layer", _variance),
        ("data", "the batch is read only, and only as declared", _data),
        ("pickle", "the network can be copied and pickled", _pickle),
    ]
    describes = partial(metadata.describes, case.method)
    yield Check(subject, "description", metadata.EXPECTED, describes)
    if case.method.level == "tensor":
        in_place = partial(tensor_level.fills_in_place, case.method, case.arguments)
        yield Check(subject, "in place", tensor_level.EXPECTED, in_place)
    for name, expected, test in promises:
        yield Check(subject, name, expected, partial(test, case))
    for network in specimens.test_models():
        works = partial(_works_on, case, network)
        yield Check(subject, network, "it works, touching what it may", works, TIMM_MODELS)


def _runs(case: Case) -> str:
    network = case.home
    applied = case.apply(network)
    return f"it changes {len(applied.changed)} of {len(applied.before.values)} tensors of {network}"


def _same_seed(case: Case) -> str:
    again = case.apply(case.home)
    if names := case.first.after.changed(again.after):
        raise Unmet(f"seed 0 gives other values in {first_few(names)} the second time")
    return f"seed 0 twice: {again.after.digest}"


def _seed_zero(case: Case) -> str:
    if case.method.level == "tensor":
        return tensor_level.zero_is_a_seed(case.method, case.arguments)
    results = []
    for state in (1, 2):
        model = specimens.build(case.home)
        with global_random_state(state):
            generator = torch.Generator().manual_seed(0)
            data = (specimens.batch(),) if case.method.needs_data else ()
            case.method.function(model, generator, *data, **case.arguments)
        results.append(snapshot(model))
    if names := results[0].changed(results[1]):
        raise Unmet(f"a generator with the seed 0 gives other values in {first_few(names)} again")
    return f"a generator with the seed 0 twice: {results[0].digest}"


def _other_seed(case: Case) -> str:
    first, other = case.first, case.apply(case.home, seed=1)
    filled = dict.fromkeys((*first.changed, *other.changed))
    if not case.method.deterministic:
        filled |= dict.fromkeys(layer.parameter for layer in specimens.layers(case.home))
    differing = [name for name in first.after.changed(other.after) if name in filled]
    if case.method.deterministic and differing:
        raise Unmet(f"declared deterministic, but seed 1 gives others in {first_few(differing)}")
    if not case.method.deterministic and not differing:
        raise Unmet(
            "seeds 0 and 1 give the same weights: draw from the generator, or declare"
            " deterministic=True"
        )
    return f"{len(differing)} of {len(filled)} tensors differ between the seeds 0 and 1"


def _global_state(case: Case) -> str:
    results = []
    _ = case.home
    for state in (1, 2):
        with global_random_state(state), global_random_state_kept():
            results.append(case.apply(case.home).after)
    if names := results[0].changed(results[1]):
        raise Unmet(f"{first_few(names)} depend on a global generator; use the one that is given")
    return "the same bytes under two states, which stay as they were"


def _order(case: Case) -> str:
    if case.method.level == "tensor":
        return tensor_level.order_is_free(case.method, case.arguments)
    if case.home != SPECIMEN:
        raise NotApplicable(f"it does not support the {SPECIMEN}, which can be reordered")
    reordered = case.apply(SPECIMEN, reordered=True)
    if names := case.first.after.changed(reordered.after):
        raise Unmet(
            f"{first_few(names)} get other values where two layers are registered in another"
            " order; draw each layer from a stream of its name"
        )
    return "two layers registered the other way round: the same bytes"


def _other_process(case: Case) -> str:
    there = processes.digest(case.text, case.home)
    if there != case.first.after.digest:
        raise Unmet(
            f"{case.first.after.digest} here, {there} in a process with another PYTHONHASHSEED"
        )
    return f"{there} in both"


def _touches(case: Case) -> str:
    return _only_declared(case, case.home, case.first)


def _only_declared(case: Case, network: str, applied: Applied) -> str:
    if case.method.changes_architecture:
        return "it declares to change the architecture"
    before, after = set(applied.before.values), set(applied.after.values)
    if before != after:
        names = sorted(before ^ after)
        raise Unmet(f"{first_few(names)} came or went; declare changes_architecture=True")
    if touched := getattr(case.method, "touches", ()):
        # Which tensors these are `initialize` knows, and refuses whatever else has changed.
        return f"{len(applied.changed)} tensors: weights and, as declared, {', '.join(touched)}"
    allowed = {layer.parameter for layer in specimens.layers(network)}
    if foreign := [name for name in applied.changed if name not in allowed]:
        raise Unmet(f"it changed {first_few(foreign)}")
    return f"{len(applied.changed)} tensors, all of them weights"


def _stay(case: Case) -> str:
    before, after = case.first.before.surroundings, case.first.after.surroundings
    names = [name for name in before if name in after]
    if case.method.changes_architecture:
        names = [name for name in names if name in dict(case.first.model.named_parameters())]
    for name in names:
        if before[name] != after[name]:
            raise Unmet(f"{name}: {before[name]}; then {after[name]}")
    return f"{counted(len(names), 'parameter or module', 'parameters and modules')} as before"


def _bfloat16(case: Case) -> str:
    applied = case.apply(case.home, prepare=lambda model: model.bfloat16())
    for name, value in applied.after.values.items():
        if not value.isfinite().all():
            raise Unmet(f"{name} is not finite")
    if case.method.level == "tensor":
        for name in applied.changed:
            if not torch.equal(
                applied.after.values[name], case.first.after.values[name].bfloat16()
            ):
                raise Unmet(f"{name} differs from the rounded float32 values")
    return f"{len(applied.changed)} tensors, all finite"


def _channels_last(case: Case) -> str:
    if case.method.needs_data:
        raise NotApplicable("what is computed from data may differ by rounding")
    other = case.apply(case.home, prepare=lambda model: model.to(memory_format=torch.channels_last))
    if names := case.first.after.changed(other.after):
        raise Unmet(f"{first_few(names)} get other values in channels_last")
    return f"{other.after.digest} in both"


def _variance(case: Case) -> str:
    if case.method.level == "model":
        raise NotApplicable("a model-level method may scale a layer by what it sees of others")
    return tensor_level.variance_follows_fans(case.method, case.arguments)


def _data(case: Case) -> str:
    if not case.method.needs_data:
        raise NotApplicable("it declares not to look at data")
    images, labels = specimens.batch()
    given = images.clone(), labels.clone()
    case.apply(case.home, batch=given)
    if not (torch.equal(given[0], images) and torch.equal(given[1], labels)):
        raise Unmet("it changed the batch")
    relabelled = case.apply(case.home, batch=(images, (labels + 1) % specimens.CLASSES))
    if not case.method.needs_labels and case.first.after.changed(relabelled.after):
        raise Unmet("other labels, other weights; declare needs_labels=True")
    others = case.apply(case.home, batch=(specimens.batch(1)[0], labels))
    changed = case.first.after.changed(others.after)
    if case.method.needs_data == "shape":
        if changed:
            raise Unmet("other images, other weights; declare needs_data=True")
        return "other images of the same shape, the same weights"
    if not changed:
        raise Unmet('other images, the same weights; declare needs_data=False, or "shape"')
    return "other images, other weights" + ("" if case.method.needs_labels else "; labels unread")


def _pickle(case: Case) -> str:
    for how, twin in (
        ("a deep copy", lambda model: copy.deepcopy(model)),
        ("a pickle", lambda model: pickle.loads(pickle.dumps(model))),  # noqa: S301
    ):
        try:
            made = twin(case.first.model)
        except Exception as error:
            raise Unmet(f"{how} fails: {type(error).__name__}: {error}") from error
        if case.first.after.changed(snapshot(made)):
            raise Unmet(f"{how} has other weights")
    return "a deep copy and a pickle have the same weights"


def _works_on(case: Case, network: str) -> str:
    if case.method.level == "tensor":
        return tensor_level.works_on(case.method, case.arguments, network)
    applied = case.apply(network)
    found = _only_declared(case, network, applied)
    if case.method.changes_architecture:
        with torch.no_grad():
            logits = applied.model.eval()(specimens.batch()[0])
        if tuple(logits.shape) != (len(logits), specimens.CLASSES):
            raise Unmet(f"the network then gives logits of shape {tuple(logits.shape)}")
    return found


def _refuse_moved(before: Snapshot, after: Snapshot) -> None:
    for name, value in before.values.items():
        now = after.values.get(name)
        if now is not None and now.device != value.device:
            raise Unmet(f"{name} was moved from {value.device} to {now.device}")
