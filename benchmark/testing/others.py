"""What data sets, architectures and recipes promise, as checks."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch.nn import functional

from benchmark import models, recipes
from benchmark.datasets.images import Images
from benchmark.errors import UsageError
from benchmark.layers import describe
from benchmark.plugins import Architecture, DataSet, NamedRecipe
from benchmark.problems import dotted
from benchmark.recipe import check_names
from benchmark.seeds import torch_generator
from benchmark.testing import metadata, processes, specimens
from benchmark.testing.state import global_random_state_kept, snapshot
from benchmark.testing.verdicts import Check, NotApplicable, Unmet
from benchmark.wording import counted

Tests = list[tuple[str, str, Callable[[], str]]]

_BATCH = 4


def dataset_checks(method: DataSet, text: str) -> Iterator[Check]:
    """Yield every check of a data set; they are skipped where the data are not there."""
    tests: Tests = [
        ("description", metadata.EXPECTED, partial(metadata.describes, method)),
        ("shape", "Images with the classes, channels and sizes declared", partial(_shape, text)),
        ("same data", "every load gives the same bytes", partial(_same_data, text)),
        ("other process", "the same bytes, whatever PYTHONHASHSEED", partial(_same_there, text)),
    ]
    return _checks(f"data set {text}", tests)


def architecture_checks(method: Architecture, text: str) -> Iterator[Check]:
    """Yield every check of an architecture."""
    there = partial(processes.digest, text, processes.ARCHITECTURE)
    tests: Tests = [
        ("runs", "logits [n, classes] for images of 1 and 3 channels", partial(_logits, text)),
        ("gradients", "every parameter gets a finite gradient", partial(_gradients, text)),
        ("images apart", "in evaluation, no image changes another's logits", partial(_apart, text)),
        ("layers", "initializers find its Conv and Linear weights", partial(_layers, text)),
        ("seeds", "the same seed, same bytes; another seed, others", partial(_seeds, text)),
        ("other process", "the same bytes, whatever PYTHONHASHSEED", partial(_equal, text, there)),
        ("pickle", "the network can be copied and pickled", partial(_pickle, text)),
    ]
    if not method.in_timm:
        describes = partial(metadata.describes, method)
        tests.insert(0, ("description", metadata.EXPECTED, describes))
    return _checks(f"architecture {text}", tests)


def recipe_checks(method: NamedRecipe, text: str) -> Iterator[Check]:
    """Yield every check of a recipe."""
    tests: Tests = [
        ("description", metadata.EXPECTED, partial(metadata.describes, method)),
        ("keys", "keys and values of a recipe, names that timm knows", partial(_recipe, text)),
    ]
    return _checks(f"recipe {text}", tests)


def _checks(subject: str, tests: Tests) -> Iterator[Check]:
    for name, expected, test in tests:
        yield Check(subject, name, expected, test)


def _shape(text: str) -> str:
    from benchmark.plugins import datasets

    method, arguments = datasets.resolve(text)
    try:
        with global_random_state_kept():
            images = method.function(None, **arguments)
    except UsageError as error:
        raise NotApplicable(str(error)) from error
    if not isinstance(images, Images):
        raise Unmet(f"it returns {type(images).__name__}; return from_arrays(...)")
    found = {
        "classes": images.classes,
        "channels": images.channels,
        "train_size": len(images.train.labels),
        "test_size": len(images.test.labels),
    }
    for name, value in found.items():
        declared = getattr(method, name)
        if declared is not None and declared != value:
            raise Unmet(f"{name} is {value}, declared is {declared}")
    for part, labels in (("training", images.train.labels), ("test", images.test.labels)):
        if missing := set(range(images.classes)) - set(labels.tolist()):
            raise Unmet(f"no {part} image has the label {min(missing)}")
    return ", ".join(f"{name} {value}" for name, value in found.items())


def _same_data(text: str) -> str:
    one, other = processes.data_digest(text), processes.data_digest(text)
    if one != other:
        raise Unmet("a second load gives other images, or another order")
    return one


def _same_there(text: str) -> str:
    here = processes.data_digest(text)
    return _same(here, processes.digest(text, processes.DATA_SET))


def _equal(text: str, there: Callable[[], str]) -> str:
    return _same(snapshot(_build(text)).digest, there())


def _same(here: str, there: str) -> str:
    if here != there:
        raise Unmet(f"{here} here, {there} in a process with another PYTHONHASHSEED")
    return f"{there} in both"


def _build(text: str, channels: int = 3, seed: int = 0) -> torch.nn.Module:
    size = models.own_image_size(text)
    return models.build(
        text, channels=channels, classes=specimens.CLASSES, image_size=size, seed=seed
    )


def _images(text: str, channels: int = 3) -> torch.Tensor:
    size = models.own_image_size(text)
    generator = torch_generator(0, "architecture check")
    return torch.randn(_BATCH, channels, size, size, generator=generator)


def _logits(text: str) -> str:
    for channels in (1, 3):
        with global_random_state_kept():
            model = _build(text, channels)
        logits = model(_images(text, channels))
        if tuple(logits.shape) != (_BATCH, specimens.CLASSES):
            raise Unmet(f"{tuple(logits.shape)} where {(_BATCH, specimens.CLASSES)} belongs")
        if not logits.isfinite().all():
            raise Unmet("logits that are not finite")
    size = models.own_image_size(text)
    parameters = counted(sum(p.numel() for p in model.parameters()), "parameter")
    return f"{parameters}, {size} x {size} images"


def _gradients(text: str) -> str:
    model = _build(text)
    labels = torch.arange(_BATCH) % specimens.CLASSES
    functional.cross_entropy(model(_images(text)), labels).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.grad is None:
            raise Unmet(f"{name} gets no gradient")
        if parameter.grad is not None and not parameter.grad.isfinite().all():
            raise Unmet(f"the gradient of {name} is not finite")
    return counted(len(list(model.parameters())), "parameter")


@torch.no_grad()
def _apart(text: str) -> str:
    model, images = _build(text).eval(), _images(text)
    together, alone = model(images)[:1], model(images[:1])
    if not torch.allclose(together, alone, rtol=1e-3, atol=1e-4):
        raise Unmet("the logits of an image depend on the others of its batch")
    return "an image alone has the logits that it has in a batch"


def _layers(text: str) -> str:
    layers = describe(_build(text))
    if not layers:
        raise Unmet("it has no Conv or Linear weight: every initializer would leave it as it is")
    return counted(len(layers), "layer")


def _seeds(text: str) -> str:
    first, again, other = (snapshot(_build(text, seed=seed)) for seed in (0, 0, 1))
    if names := first.changed(again):
        raise Unmet(f"seed 0 gives other values in {names[0]} the second time")
    if not first.changed(other):
        raise Unmet("seeds 0 and 1 give the same weights")
    return "seeds 0, 0 and 1"


def _pickle(text: str) -> str:
    model = _build(text)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301
        if names := snapshot(model).changed(snapshot(twin)):
            raise Unmet(f"a copy has other values in {names[0]}")
    return "a deep copy and a pickle have the same weights"


def _recipe(text: str) -> str:
    try:
        recipe = recipes.look_up(text)
    except UsageError as error:
        raise Unmet(str(error)) from error
    if findings := check_names(recipe):
        path, what = findings[0]
        raise Unmet(f"{dotted(path)}: {what}")
    return ", ".join(
        f"{key}: {own}" for key, own in recipe.model_dump(exclude_defaults=True).items()
    )
