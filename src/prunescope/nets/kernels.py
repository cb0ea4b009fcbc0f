"""Our own convolutions (`planar.c`), built by the machine's C compiler for its processor's vectors.

Built once for a user and a kind of processor, in a second or two, and kept in the cache. Without a compiler, or where
one fails, there are none, and whoever asks goes another way. Whatever a caller gives, a call computes or raises
ValueError: sizes are checked here, shapes by the functions themselves.
"""

from __future__ import annotations

import ctypes
import platform
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import torch
from torch import Tensor

from prunescope.nets.library_cache import load_library

SOURCE = Path(__file__).with_name("planar.c")
REALS = {torch.float32: "float", torch.float64: "double"}
"""The types of numbers that kernels can be built for, and their names in C."""
SHARED = ("-O3", "-shared", "-fPIC")
"""What a compiler is given to build a library."""
# What the functions of `planar.c` return, in its order.
_REFUSALS = {
    1: "sizes must be positive, and at most 2^24",
    2: "the kernel must be 1 or 3",
    3: "the stride must be 1 or 2, and divide height and width",
    4: "the members must divide the numbers of a vector",
    5: "rows of pixels and members must fill vectors",
}


@dataclass(frozen=True)
class Vectors:
    """A kind of vectors that processors compute with."""

    name: str
    size: int
    """In bytes."""
    flags: tuple[str, ...]
    """What lets a compiler use them."""

    def build_flags(self, dtype: torch.dtype) -> tuple[str, ...]:
        """Return what a compiler is given to build the kernels for a type of numbers."""
        return (*self.flags, f"-DREAL={REALS[dtype]}", f"-DWIDE={self.size}")


_NEON = Vectors("NEON", 16, ())
_SSE2 = Vectors("SSE2", 16, ("-msse2",))
_AVX2 = Vectors("AVX2", 32, ("-mavx2", "-mfma"))
_AVX512 = Vectors("AVX512", 64, ("-mavx512f", "-mavx512dq", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"))
_OF_X86 = {"DEFAULT": (_SSE2,), "AVX2": (_AVX2, _SSE2), "AVX512": (_AVX512, _AVX2, _SSE2)}


def vectors_here() -> tuple[Vectors, ...]:
    """Return the kinds of vectors that this processor computes with, the widest first.

    torch says which, so ATEN_CPU_CAPABILITY=avx2 makes do with those.
    """
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        return _OF_X86.get(torch.backends.cpu.get_cpu_capability(), ())
    return (_NEON,) if machine in ("aarch64", "arm64") else ()


class Shape(ctypes.Structure):
    """A convolution, as `planar.c` has it."""

    _fields_ = [
        (name, ctypes.c_long) for name in ("batch", "channels", "out", "height", "width", "kernel", "stride", "members")
    ]

    @property
    def pixels(self) -> int:
        """Numbers in one channel of a picture before the convolution."""
        return int(self.height * self.width * self.members)

    @property
    def pixels_after(self) -> int:
        """Numbers in one channel of a picture after it."""
        return int((self.height // self.stride) * (self.width // self.stride) * self.members)

    @property
    def weights(self) -> int:
        """Weights of one member."""
        return int(self.out * self.channels * self.kernel**2)


class Kernels:
    """The functions of `planar.c` for one type of numbers, and how many of them a vector holds."""

    def __init__(self, library: ctypes.CDLL, dtype: torch.dtype, vectors: Vectors) -> None:
        self.lanes = vectors.size // dtype.itemsize
        self.dtype = dtype
        self._library = library
        self._library.room.restype = ctypes.c_long

    def takes(self, shape: Shape) -> bool:
        """Whether the kernels are made for a convolution."""
        return not self._library.check(ctypes.byref(shape))

    def forward(self, shape: Shape, x: Tensor, weight: Tensor, y: Tensor, moments: Tensor | None) -> None:
        """Convolve ``x`` into ``y``; add to ``moments`` [out][3][lanes] unless there are none."""
        self._convolve(
            "forward",
            shape,
            self._pointer(x, shape.batch * shape.channels * shape.pixels),
            self._pointer(weight, shape.members * shape.weights),
            self._pointer(y, shape.batch * shape.out * shape.pixels_after),
            self._sums(moments, shape.out * 3),
        )

    def normalise(
        self, batch: int, planes: int, size: int, x: Tensor, past: Tensor | None, line: Tensor, cut: bool, y: Tensor
    ) -> None:
        """Normalise ``x`` by ``line`` [planes][3][lanes], add ``past``, cut off below zero or not: into ``y``."""
        count = batch * planes * size
        pointers = (self._pointer(x, count), self._optional(past, count), self._pointer(line, planes * 3 * self.lanes))
        sizes = map(ctypes.c_long, (batch, planes, size))
        self._call("normalise", *sizes, *pointers, ctypes.c_long(cut), self._pointer(y, count))

    def reduce(
        self,
        batch: int,
        planes: int,
        size: int,
        change: Tensor,
        y: Tensor | None,
        x: Tensor,
        line: Tensor,
        passed: Tensor | None,
        sums: Tensor,
    ) -> None:
        """Add to ``sums`` [planes][2][lanes] the derivative by what was normalised; keep it in ``passed``."""
        count = batch * planes * size
        self._call(
            "reduce",
            *map(ctypes.c_long, (batch, planes, size)),
            self._pointer(change, count),
            self._optional(y, count),
            self._pointer(x, count),
            self._pointer(line, planes * 3 * self.lanes),
            self._optional(passed, count),
            self._sums(sums, planes * 2),
        )

    def backward(
        self,
        shape: Shape,
        x: Tensor,
        weight: Tensor,
        change: Tensor,
        y: Tensor | None,
        before: Tensor,
        line: Tensor,
        dx: Tensor | None,
        total: Tensor,
    ) -> None:
        """Go back through normalisation and convolution: fill ``dx``, add to ``total`` [out][channels][taps][lanes]."""
        before_count = shape.batch * shape.channels * shape.pixels
        after_count = shape.batch * shape.out * shape.pixels_after
        self._convolve(
            "backward",
            shape,
            self._pointer(x, before_count),
            self._pointer(weight, shape.members * shape.weights),
            self._pointer(change, after_count),
            self._optional(y, after_count),
            self._pointer(before, after_count),
            self._pointer(line, shape.out * 4 * self.lanes),
            self._optional(dx, before_count),
            self._pointer(total, shape.weights * self.lanes),
        )

    def _convolve(self, name: str, shape: Shape, *pointers: ctypes.c_void_p | None) -> None:
        scratch = torch.empty(int(self._library.room(ctypes.byref(shape))), dtype=self.dtype)
        self._call(name, ctypes.byref(shape), *pointers, ctypes.c_void_p(scratch.data_ptr()))

    def _call(self, name: str, *arguments: object) -> None:
        code = self._functions[name](*arguments)
        if code:
            raise ValueError(_REFUSALS[code])

    @cached_property
    def _functions(self) -> dict[str, ctypes._NamedFuncPointer]:
        return {name: self._library[name] for name in ("forward", "normalise", "reduce", "backward")}

    def _pointer(self, tensor: Tensor, count: int) -> ctypes.c_void_p:
        if tensor.dtype != self.dtype:
            raise ValueError(f"a tensor must hold {self.dtype}, not {tensor.dtype}")
        return address(tensor, count)

    def _optional(self, tensor: Tensor | None, count: int) -> ctypes.c_void_p | None:
        return None if tensor is None else self._pointer(tensor, count)

    def _sums(self, tensor: Tensor | None, vectors: int) -> ctypes.c_void_p | None:
        if tensor is None:
            return None
        if tensor.dtype != torch.float64:
            raise ValueError(f"sums must be {torch.float64}, not {tensor.dtype}")
        return address(tensor, vectors * self.lanes)


def address(tensor: Tensor, count: int) -> ctypes.c_void_p:
    """Return where a tensor of so many numbers lies in the processor's memory; refuse any other."""
    if tensor.device.type != "cpu" or not tensor.is_contiguous():
        raise ValueError("a tensor must lie in the processor's memory as it reads")
    if tensor.numel() != count:
        raise ValueError(f"a tensor must hold {count} numbers, not {tensor.numel()}")
    return ctypes.c_void_p(tensor.data_ptr())


@lru_cache
def kernels(dtype: torch.dtype, vectors: Vectors | None = None) -> Kernels | None:
    """Return the kernels for a type of numbers, built where they are not there yet; None where they cannot be.

    ``vectors`` are the widest of this machine unless given.
    """
    vectors = vectors or next(iter(vectors_here()), None)
    if vectors is None or dtype not in REALS:
        return None
    library = load_library(SOURCE, (*SHARED, *vectors.build_flags(dtype)))
    return None if library is None else Kernels(library, dtype, vectors)
