"""Our own convolutions (`planar.c`), built by the machine's C compiler for its processor's vectors.

Built once for a user and a kind of processor, in a second or two, and kept in the cache. Without a compiler, or where
one fails, there are none, and whoever asks goes another way.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from contextlib import suppress
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path

import torch

_SOURCE = Path(__file__).with_name("planar.c")
_REALS = {torch.float32: "float", torch.float64: "double"}
# Bytes of a vector, and what lets a compiler use them.
_VECTORS = {
    "AVX2": (32, ("-mavx2", "-mfma")),
    "AVX512": (64, ("-mavx512f", "-mavx512dq", "-mavx512vl", "-mfma", "-mprefer-vector-width=512")),
}
_COMPILING = 60  # seconds


class Shape(ctypes.Structure):
    """A convolution, as `planar.c` has it."""

    _fields_ = [
        (name, ctypes.c_long) for name in ("batch", "channels", "out", "height", "width", "kernel", "stride", "members")
    ]


class Kernels:
    """The functions of `planar.c` for one type of numbers, and how many of them a vector holds."""

    def __init__(self, library: ctypes.CDLL, lanes: int) -> None:
        self.lanes = lanes
        self._library = library
        self._library.room.restype = ctypes.c_long

    def room(self, shape: Shape) -> int:
        """Return how many numbers of scratch memory a convolution needs."""
        return int(self._library.room(ctypes.byref(shape)))

    def __call__(self, name: str, *arguments: Shape | torch.Tensor | int | None) -> None:
        """Call a function; tensors must lie in memory as they read."""
        self._functions[name](*(_given(each) for each in arguments))

    @cached_property
    def _functions(self) -> dict[str, ctypes._NamedFuncPointer]:
        return {name: self._library[name] for name in ("forward", "normalise", "reduce", "backward")}


def _given(argument: Shape | torch.Tensor | int | None) -> object:
    if isinstance(argument, torch.Tensor):
        assert argument.is_contiguous()  # noqa: S101 - our own callers
        return ctypes.c_void_p(argument.data_ptr())
    if isinstance(argument, Shape):
        return ctypes.byref(argument)
    return None if argument is None else ctypes.c_long(argument)


@lru_cache
def kernels(dtype: torch.dtype) -> Kernels | None:
    """Return the kernels for a type of numbers, built where they are not there yet; None where they cannot be."""
    vectors, compiler = _VECTORS.get(torch.backends.cpu.get_cpu_capability()), shutil.which("cc")
    if dtype not in _REALS or vectors is None or compiler is None or os.name != "posix":
        return None
    wide, flags = vectors
    command = [compiler, "-O3", *flags, "-shared", "-fPIC", f"-DREAL={_REALS[dtype]}", f"-DWIDE={wide}"]
    with suppress(OSError, subprocess.SubprocessError):
        return Kernels(ctypes.CDLL(str(_built(command))), wide // dtype.itemsize)
    return None


def _built(command: list[str]) -> Path:
    """Return the library that a command makes of the source; whole or absent, whoever else builds it too."""
    key = sha256(" ".join(command).encode() + _SOURCE.read_bytes()).hexdigest()[:16]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prunescope" / "kernels"
    path = home / f"planar-{key}.so"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        subprocess.run(  # noqa: S603 - the user's own compiler
            [*command, "-o", str(draft), str(_SOURCE)], check=True, capture_output=True, timeout=_COMPILING
        )
        draft.replace(path)
    return path
