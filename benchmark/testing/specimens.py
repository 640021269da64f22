"""The networks that methods are checked on: one with a layer of every kind, and timm's test models.

All take images of 64 x 64 pixels, so that a check of all of them takes seconds.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from functools import cache

import torch
from torch import nn
from torch.nn import functional

from benchmark import models
from benchmark.errors import UsageError
from benchmark.layers import Layer, describe
from benchmark.seeds import derive, torch_generator
from benchmark.testing.processes import SPECIMEN

IMAGE_SIZE = 64
CLASSES = 5
_BATCH_SIZE = 4
_PLACES = 4

Batch = tuple[torch.Tensor, torch.Tensor]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Sum in one order: with more threads the last bits may depend on how busy the machine is."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_heads = 2
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        n, length, width = tokens.shape
        packed = self.qkv(tokens).reshape(n, length, 3, self.num_heads, -1)
        queries, keys, values = packed.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(queries, keys, values)
        return self.proj(mixed.transpose(1, 2).reshape(n, length, width))


class Specimen(nn.Module):
    """Convolutions plain, grouped, depthwise and transposed, attention, norms, an embedding.

    Takes images [n, 3, size, size]. `reordered` registers the two parallel branches the other way
    round: the same function of the same names, in another order.
    """

    def __init__(self, reordered: bool = False) -> None:
        super().__init__()
        self.pretrained_cfg = {"input_size": (3, IMAGE_SIZE, IMAGE_SIZE), "classifier": "head"}
        self.stem = nn.Conv2d(3, 16, 3, stride=4, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.left = nn.Conv2d(16, 16, 3, padding=1)
        self.right = nn.Conv2d(16, 16, 3, padding=1)
        if reordered:
            self._modules["left"] = self._modules.pop("left")
        self.grouped = nn.Conv2d(16, 32, 3, padding=1, groups=4)
        self.depthwise = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.reduce = nn.Conv2d(32, 24, 4, stride=4)
        self.expand = nn.ConvTranspose2d(24, 24, 2, stride=2)
        self.position = nn.Embedding(_PLACES, 24)
        self.attention_norm = nn.LayerNorm(24)
        self.attention = _Attention(24)
        self.layer_scale = nn.Parameter(torch.full((24,), 0.5))
        self.mlp_norm = nn.LayerNorm(24)
        self.fc1 = nn.Linear(24, 48)
        self.fc2 = nn.Linear(48, 24)
        self.head = nn.Linear(24, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = functional.relu(self.norm(self.stem(images)))
        maps = functional.relu(self.left(maps) + self.right(maps))
        maps = functional.relu(self.grouped(maps))
        maps = functional.relu(self.reduce(functional.relu(self.depthwise(maps))))
        tokens = self.expand(maps).flatten(2).transpose(1, 2)
        places = torch.arange(tokens.shape[1], device=tokens.device) % _PLACES
        tokens = tokens + self.position(places)
        tokens = tokens + self.layer_scale * self.attention(self.attention_norm(tokens))
        tokens = tokens + self.fc2(functional.gelu(self.fc1(self.mlp_norm(tokens))))
        return self.head(tokens.mean(1))


def build(name: str, seed: int = 0, *, reordered: bool = False) -> nn.Module:
    """Return a freshly built network: the specimen, or one of timm's; the same seed, same bytes."""
    if name != SPECIMEN:
        return copy.deepcopy(_from_timm(name, seed))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, "build"))
        original = Specimen()
        if not reordered:
            return original
        other = Specimen(reordered=True)
        other.load_state_dict(original.state_dict())
        return other


@cache
def test_models() -> tuple[str, ...]:
    """Return the names of timm's small models for tests."""
    return tuple(models.names("test_*"))


@cache
def layers(name: str) -> tuple[Layer, ...]:
    """Return the layers of a network; to find what stands around them takes a while."""
    return tuple(layer for layer, _ in describe(build(name)))


def batch(seed: int = 0) -> Batch:
    """Return a batch (images, labels) for data-dependent methods."""
    generator = torch_generator(seed, "specimen batch")
    images = torch.randn(_BATCH_SIZE, 3, IMAGE_SIZE, IMAGE_SIZE, generator=generator)
    return images, torch.randint(CLASSES, (_BATCH_SIZE,), generator=generator)


@cache
def _from_timm(name: str, seed: int) -> nn.Module:
    # Whoever checks a method may be in the middle of something random.
    with torch.random.fork_rng(devices=[]):
        try:
            return models.build(name, channels=3, classes=CLASSES, image_size=IMAGE_SIZE, seed=seed)
        except UsageError as error:
            raise RuntimeError(str(error)) from error
