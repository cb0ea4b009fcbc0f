"""Our own products with few weights (`sparse.c`), built and chosen as those of `kernels`.

Whatever a caller gives, a call computes or raises ValueError: tensors are checked here, indices once by `check`, sizes
by the functions themselves.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from prunescope.nets.kernels import REALS, SHARED, Vectors, address, vectors_here
from prunescope.nets.library_cache import load_library

SOURCE = Path(__file__).with_name("sparse.c")
# What the functions of `sparse.c` return, in its order.
_REFUSALS = {
    1: "sizes must be positive, at most 2^24, and those of one layer the next one's",
    2: "a batch must fill vectors, and not more of them than it needs",
    3: "indices must lie within what they point into, and lines follow each other",
}
_POINTERS = (
    "row", "input", "column", "output", "place", "weight", "bias", "value", "change", "by_weight", "by_bias",
)  # fmt: skip


class _Layer(ctypes.Structure):
    """A layer, as `sparse.c` has it."""

    _fields_ = [
        *((name, ctypes.c_long) for name in ("inputs", "outputs", "kept", "blocks")),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    ]


@dataclass(frozen=True)
class KeptWeights:
    """Where the weights of a layer are that a cohort's members keep and that lead to an output.

    The units below are cut into blocks. A member's weights lie block by block, in a block row by row, one row for each
    unit above. There is room for as many as any member has.

    Attributes
    ----------
    row, input
        ``[R, blocks x outputs + 1]``, where each row begins and the last one ends; ``[R, kept]``, the unit below of
        each weight.
    column, output, place
        ``[R, inputs + 1]``, ``[R, kept]``, ``[R, kept]``: the same weights column by column, with the unit above of
        each, and its place in the rows. None in the first layer, which is not led through on the way back.
    """

    blocks: int
    row: Tensor
    input: Tensor
    column: Tensor | None
    output: Tensor | None
    place: Tensor | None


@dataclass(frozen=True)
class SparseLayer:
    """A layer in training: its kept weights and biases, and room for their gradients."""

    inputs: int
    outputs: int
    kept: KeptWeights
    weight: Tensor
    bias: Tensor
    by_weight: Tensor
    by_bias: Tensor


class SparseBatch:
    """Members' layers with room for a batch of one size: values, and derivatives by them, ``[R, outputs, batch]``."""

    def __init__(self, library: ctypes.CDLL, dtype: torch.dtype, layers: Sequence[SparseLayer], batch: int) -> None:
        self._library, self._dtype = library, dtype
        self._layers = layers
        self.members = len(layers[0].bias)
        rooms = [layer.bias.new_zeros(2, self.members, layer.outputs, batch) for layer in layers]
        self.values, self.changes = [room[0] for room in rooms], [room[1] for room in rooms]
        self._numbers = self.members * layers[0].inputs * batch
        self._batch = ctypes.c_long(batch)
        self._lines = (_Layer * len(layers))(*map(self._line, layers, self.values, self.changes))
        self._sizes = ctypes.c_long(len(layers)), ctypes.c_long(self.members)
        _call(library.check, self._lines, *self._sizes)

    def _line(self, layer: SparseLayer, value: Tensor, change: Tensor) -> _Layer:
        kept, members, room = layer.kept, self.members, layer.weight.shape[1]
        weights, units = members * room, members * layer.outputs
        places = [(kept.row, members * (kept.blocks * layer.outputs + 1)), (kept.input, weights)]
        back = [(kept.column, members * (layer.inputs + 1)), (kept.output, weights), (kept.place, weights)]
        reals = [(layer.weight, weights), (layer.bias, units), (value, value.numel()), (change, change.numel())]
        reals += [(layer.by_weight, weights), (layer.by_bias, units)]
        pointers: list[ctypes.c_void_p | None] = [_typed(tensor, count, torch.int32) for tensor, count in places]
        pointers += [None if tensor is None else _typed(tensor, count, torch.int32) for tensor, count in back]
        pointers += [_typed(tensor, count, self._dtype) for tensor, count in reals]
        return _Layer(layer.inputs, layer.outputs, room, kept.blocks, *pointers)

    def forward(self, x: Tensor, threads: ThreadPoolExecutor | None = None) -> Tensor:
        """Compute all values from ``x`` [R, inputs, batch]; return the last layer's."""
        self._run(self._library.forward, x, threads)
        return self.values[-1]

    def backward(self, x: Tensor, threads: ThreadPoolExecutor | None = None) -> None:
        """Compute the gradients of kept weights and biases from the derivative by the last layer's values."""
        self._run(self._library.backward, x, threads)

    def _run(self, function: ctypes._NamedFuncPointer, x: Tensor, threads: ThreadPoolExecutor | None) -> None:
        pointer = _typed(x, self._numbers, self._dtype)

        def part(first: int, last: int) -> None:
            span = ctypes.c_long(first), ctypes.c_long(last)
            _call(function, self._lines, *self._sizes, *span, self._batch, pointer)

        if threads is None:
            part(0, self.members)
        else:
            list(threads.map(part, range(self.members), range(1, self.members + 1)))


class SparseKernels:
    """The functions of `sparse.c` for one type of numbers, and how many of them a vector holds."""

    def __init__(self, library: ctypes.CDLL, dtype: torch.dtype, vectors: Vectors) -> None:
        self.lanes = vectors.size // dtype.itemsize
        self.dtype = dtype
        self._library = library

    def filled(self, batch: int) -> int:
        """Return the size of a batch filled up to whole vectors."""
        return -(-batch // self.lanes) * self.lanes

    def batch(self, layers: Sequence[SparseLayer], batch: int) -> SparseBatch:
        """Return layers with room for a batch, which fills vectors."""
        return SparseBatch(self._library, self.dtype, layers, batch)

    def lay_out(self, bytes_: Tensor, places: Tensor, columns: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Return chosen columns ``[R, k]`` of the rows at ``places`` [R, B], scaled: ``[R, k, B]``, filled with zeros.

        Parameters
        ----------
        bytes_
            ``[n, features]``.
        columns
            Of type int32.
        scale, shift
            Of each feature.
        """
        count, features = bytes_.shape
        (members, rows), wide, batch = places.shape, columns.shape[1], self.filled(places.shape[1])
        x = torch.empty(members, wide, batch, dtype=self.dtype)
        sizes = map(ctypes.c_long, (members, rows))
        _call(
            self._library.lay_out,
            *map(ctypes.c_long, (count, features)),
            _typed(bytes_, count * features, torch.uint8),
            *sizes,
            _typed(places, members * rows, torch.int64),
            ctypes.c_long(wide),
            _typed(columns, members * wide, torch.int32),
            _typed(scale, features, self.dtype),
            _typed(shift, features, self.dtype),
            ctypes.c_long(batch),
            _typed(x, members * wide * batch, self.dtype),
        )
        return x


def _call(function: ctypes._NamedFuncPointer, *arguments: object) -> None:
    code = function(*arguments)
    if code:
        raise ValueError(_REFUSALS[code])


def _typed(tensor: Tensor, count: int, dtype: torch.dtype) -> ctypes.c_void_p:
    if tensor.dtype != dtype:
        raise ValueError(f"a tensor must hold {dtype}, not {tensor.dtype}")
    return address(tensor, count)


@lru_cache
def sparse_kernels(dtype: torch.dtype, vectors: Vectors | None = None) -> SparseKernels | None:
    """Return the kernels for a type of numbers, built where they are not there yet; None where they cannot be.

    ``vectors`` are the widest of this machine unless given.
    """
    vectors = vectors or next(iter(vectors_here()), None)
    if vectors is None or dtype not in REALS:
        return None
    library = load_library(SOURCE, (*SHARED, *vectors.build_flags(dtype)))
    return None if library is None else SparseKernels(library, dtype, vectors)
