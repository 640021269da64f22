"""Which tensor flows where in a model: one forward pass of shapes, without numbers.

The model is copied with its parameters and buffers on the meta device, where an operation computes
shapes only, and one image is sent through the copy. The graph of what was called tells what no
list of modules can: which activation stands behind a weight, and which weight ends a residual
branch. The model itself is neither run nor changed.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WEIGHTED = {"convolution", "addmm", "mm", "bmm", "baddbmm", "linear", "_convolution"}
SPLITTING = {"split", "split_with_sizes", "unbind", "chunk", "unsafe_split", "unsafe_chunk"}


@dataclass(eq=False)
class Node:
    """One operation on data: its inputs, its users, and the weight it multiplies data with.

    `weights` are the names of the parameters that the operation multiplies data with, `parameters`
    those of all that it uses, `scale` is
    true where an operand is a parameter or a number instead of data.
    """

    operation: str
    index: int
    inputs: tuple[Node, ...]
    shape: tuple[int, ...]
    weights: tuple[str, ...] = ()
    arguments: tuple[Any, ...] = ()
    parameters: tuple[str, ...] = ()
    users: list[Node] = field(default_factory=list)


@dataclass(frozen=True)
class Flow:
    """The operations of one forward pass, in the order in which they were called.

    `outputs` are the names of the modules in the order in which they returned, each with the
    operation that made what it returned.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[tuple[str, Node], ...] = ()

    def weighted(self) -> Iterator[Node]:
        """Yield the operations that multiply data with weights, in order of execution."""
        return (node for node in self.nodes if node.weights)


def trace(model: nn.Module) -> Flow | None:
    """Return the data flow of `model`, None where no input is known that passes through it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            twin = _on_meta(model).eval()
        except Exception:
            return None
        for shape in _input_shapes(model):
            try:
                return _record(twin, shape)
            except Exception:  # noqa: S112 - any model may fail on any shape in any way
                continue
    return None


def _on_meta(model: nn.Module) -> nn.Module:
    """Copy a model without its numbers: tied parameters stay tied, hooks are left out."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(
            torch.empty_like(parameter, device="meta", memory_format=torch.contiguous_format),
            requires_grad=False,
        )
    for buffer in model.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    twin = copy.deepcopy(model, memo)
    for module in twin.modules():
        module._forward_hooks.clear()
    return twin


def _input_shapes(model: nn.Module) -> Iterator[tuple[int, ...]]:
    """Yield the shapes of an input to try: the model's own, then others by its first weight.

    A first weight may see other channels than the images have: patches are rearranged before.
    """
    first = next(
        (m for m in model.modules() if isinstance(m, (nn.Linear, nn.modules.conv._ConvNd))), None
    )
    config = getattr(model, "pretrained_cfg", None) or {}
    size = config.get("input_size") if isinstance(config, dict) else None
    sizes = [size[-2:]] if size else []
    for owner in (model, getattr(model, "patch_embed", None)):
        if grid := getattr(owner, "img_size", None):
            sizes.insert(0, tuple(grid) if isinstance(grid, (tuple, list)) else (grid, grid))
    sizes = list(dict.fromkeys([*sizes, (224, 224), (32, 32), (256, 256), (64, 64)]))
    if isinstance(first, nn.Linear):
        yield (2, first.in_features)
        yield (2, 16, first.in_features)
    elif first is not None:
        dimensions = len(first.kernel_size)
        for height, width in sizes:
            yield (2, first.in_channels, *(height, width, width)[:dimensions])
    for channels in dict.fromkeys([*(size[:1] if size else ()), 3, 1]):
        for height, width in sizes:
            yield (2, channels, height, width)


class _Recorder(TorchDispatchMode):
    """Enters every operation on data into a graph.

    A tensor that depends on the input is data; one made of parameters alone carries their names.
    """

    def __init__(self, names: dict[int, str], image: torch.Tensor) -> None:
        super().__init__()
        self.nodes = [Node("input", 0, (), tuple(image.shape))]
        self.outputs: list[tuple[str, Node]] = []
        self._data: dict[int, Node] = {id(image): self.nodes[0]}
        self._parameters: dict[int, tuple[str, ...]] = {key: (n,) for key, n in names.items()}
        self._alive: list[Any] = [image]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        operands = [x for x in tree_leaves((args, kwargs or {})) if isinstance(x, torch.Tensor)]
        outputs = [x for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
        # Python may give the id of a tensor that is gone to another one.
        self._alive += outputs
        inputs = tuple(self._data[id(x)] for x in operands if id(x) in self._data)
        names = dict.fromkeys(
            name
            for x in operands
            if id(x) not in self._data
            for name in self._parameters.get(id(x), ())
        )
        if not inputs:
            self._parameters.update({id(x): tuple(names) for x in outputs})
        elif outputs:
            self._enter(func, args, inputs, operands, outputs, tuple(names))
        return result

    def note_output(self, name: str, output: Any) -> None:
        """Enter what the module called `name` returned, if that is data."""
        if id(output) in self._data:
            self.outputs.append((name, self._data[id(output)]))

    def _enter(
        self,
        func: Any,
        args: tuple[Any, ...],
        inputs: tuple[Node, ...],
        operands: list[torch.Tensor],
        outputs: list[torch.Tensor],
        parameters: tuple[str, ...],
    ) -> None:
        operation = func.overloadpacket.__name__.rstrip("_")
        weights: tuple[str, ...] = ()
        if operation in WEIGHTED:
            matrices = [x for x in operands if x.dim() > 1 and id(x) not in self._data]
            weights = tuple(n for x in matrices for n in self._parameters.get(id(x), ()))
        numbers = tuple(x for x in tree_leaves(args) if isinstance(x, (int, float, str)))
        shape = tuple(outputs[0].shape)
        node = Node(operation, len(self.nodes), inputs, shape, weights, numbers, parameters)
        for parent in dict.fromkeys(inputs):
            parent.users.append(node)
        self.nodes.append(node)
        for output in outputs:
            self._data[id(output)] = self._part(node, output) if operation in SPLITTING else node

    def _part(self, node: Node, output: torch.Tensor) -> Node:
        """Enter one of several outputs as an operation of its own: each goes its own way."""
        part = Node("part", len(self.nodes), (node,), tuple(output.shape))
        node.users.append(part)
        self.nodes.append(part)
        return part


def _record(twin: nn.Module, shape: tuple[int, ...]) -> Flow:
    first = next(twin.parameters())
    image = torch.empty(shape, dtype=first.dtype, device="meta")
    names = {id(p): name for name, p in twin.named_parameters()}
    recorder = _Recorder(names, image)
    hooks = [
        module.register_forward_hook(partial(_note_output, recorder, name))
        for name, module in twin.named_modules()
    ]
    try:
        with torch.no_grad(), torch.device("meta"), recorder:
            twin(cast(Any, image))
    finally:
        for hook in hooks:
            hook.remove()
    return Flow(tuple(recorder.nodes), tuple(recorder.outputs))


def _note_output(
    recorder: _Recorder, name: str, module: nn.Module, inputs: Any, output: Any
) -> None:
    recorder.note_output(name, output)
