"""Reads pickles of arrays without running them: texts, numbers, lists, dictionaries and numpy's plain arrays.

A pickle is a program, and `pickle.load` calls whatever it names. Here :mod:`pickletools` only takes the program apart,
and the few instructions that files of CIFAR are made of are followed with values of our own. Nothing that a pickle
names is ever looked up: six names are known, which stand for arrays, their types and bytes; every other is refused.

What a pickle makes stays as large as its file, within a small factor: instructions are counted, each makes one object,
and whatever could be made from the same bytes again and again (texts, bytes, arguments, shapes) is short or counted.
A restricted `pickle.Unpickler` would be shorter and would call nothing either, but it has no such bound: each byte of a
file may make an empty list, and a file of 41 MB that gzip packs into 40 kB makes 41 million of them, 2.6 GB.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.data.layouts import refusal
from prunescope.errors import printable


class _ForeignError(Exception):
    """A pickle holds something that is neither data nor an array."""


@dataclass
class _Type:
    """Stands for a numpy dtype; its byte order comes after it."""

    code: str
    order: Any = "|"

    def build(self, state: Any) -> None:
        self.order = _word(state[1])

    def dtype(self) -> np.dtype[Any]:
        if not re.fullmatch(r"[<>=|]?([iu][1248]|f[248]|b1)", self.code) or self.order not in ("<", ">", "=", "|"):
            raise _ForeignError(f"an array of type {self.code!r}")
        return np.dtype(self.code.lstrip("<>=|")).newbyteorder(self.order)


@dataclass
class _Array:
    """Stands for a numpy array; what it holds comes after it."""

    values: NDArray[Any] | None = None

    def build(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        self.values = _array(data, kind, shape, "F" if fortran else "C")


def _array(data: Any, kind: Any, shape: Any, order: Any) -> NDArray[Any]:
    if not isinstance(data, bytes | bytearray) or not isinstance(kind, _Type) or not isinstance(shape, tuple):
        raise _ForeignError("an array that is not made of bytes, type and shape")
    plain = len(shape) <= _MOST_DIMENSIONS and all(isinstance(length, int) and 0 <= length < 2**63 for length in shape)
    if not plain or order not in ("C", "F"):
        raise _ForeignError("an array without a plain shape")
    dtype = kind.dtype()
    if math.prod(shape) * dtype.itemsize != len(data):
        raise _ForeignError(f"an array of shape {shape} in {len(data):,} bytes")
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _empty_array(*_: Any) -> _Array:
    return _Array()


def _type(code: Any, *_: Any) -> _Type:
    return _Type(_word(code))


def _buffer(data: Any, kind: Any, shape: Any, order: Any, axes: Any = None) -> _Array:
    if axes is not None:
        raise _ForeignError("an array with its axes in another order")
    return _Array(_array(data, kind, shape, order))


def _encoded(text: Any, codec: Any = "latin1") -> bytes:
    if not isinstance(text, str) or codec not in ("latin1", b"latin1"):
        raise _ForeignError("bytes in an encoding other than latin1")
    return text.encode("latin-1")


def _never(*_: Any) -> Any:
    raise _ForeignError("a call of numpy.ndarray")


# What stands in for the names that files of arrays hold; numpy 2 renamed its core.
_KNOWN: dict[str, Callable[..., Any]] = {
    "_codecs encode": _encoded,
    "numpy dtype": _type,
    "numpy ndarray": _never,
    **{f"numpy.{core}.multiarray _reconstruct": _empty_array for core in ("core", "_core")},
    **{f"numpy.{core}.numeric _frombuffer": _buffer for core in ("core", "_core")},
}

_MOST_DIMENSIONS, _MOST_ARGUMENTS, _LONGEST_WORD = 32, 8, 200

_MARK = object()
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}
_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}


def read_pickle(content: bytes, name: str, most: int = 100_000) -> dict[str, Any]:
    """Return the dictionary that a pickle called ``name`` holds; its keys as texts, its arrays read-only or not.

    ``most`` is the number of instructions that it may have.
    """
    try:
        return _plain(_followed(content, most))
    except _ForeignError as trouble:
        must = "must hold arrays, lists, numbers and texts, and nothing else"
        raise refusal(name, must, f"{printable(str(trouble)[:100])}; nothing of the file was run") from None
    except (ValueError, TypeError, LookupError, OverflowError, EOFError, AttributeError, Warning) as trouble:
        raise refusal(name, "must be a whole pickle", printable(str(trouble)[:100]), "Fetch it again.") from None


def _followed(content: bytes, most: int) -> Any:
    """Follow the instructions of a pickle that make data; refuse the others before anything else."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    room = len(content)
    opcode: Any
    argument: Any
    for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if number >= most:
            raise _ForeignError(f"more than {most:,} instructions")
        name = opcode.name
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name]())
        elif name in _VALUES:
            stack.append(argument)
        elif name in ("STRING", "BINSTRING", "SHORT_BINSTRING"):  # Python 2's texts are bytes
            stack.append(argument.encode("latin-1"))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in ("APPEND", "SETITEM"):
            count = 1 if name == "APPEND" else 2
            items = [stack.pop() for _ in range(count)][::-1]
            _extend(stack[-1], items)
        elif name in ("APPENDS", "SETITEMS"):
            items = _marked(stack)
            _extend(stack[-1], items)
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(tuple([stack.pop() for _ in range(int(name[-1]))][::-1]))
        elif name in ("TUPLE", "LIST", "DICT"):
            items = _marked(stack)
            stack.append(tuple(items) if name == "TUPLE" else [])
            if name != "TUPLE":
                stack[-1] = [] if name == "LIST" else {}
                _extend(stack[-1], items)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            words = argument if name == "GLOBAL" else " ".join([_word(stack.pop()) for _ in range(2)][::-1])
            if words not in _KNOWN:
                raise _ForeignError(words.replace(" ", "."))
            stack.append(_KNOWN[words])
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            if not any(function is known for known in _KNOWN.values()) or not isinstance(arguments, tuple):
                raise _ForeignError("a call of something that is no function")
            if len(arguments) > _MOST_ARGUMENTS:
                raise _ForeignError(f"a call with {len(arguments):,} arguments")
            stack.append(function(*arguments))
            room -= len(stack[-1]) if isinstance(stack[-1], bytes) else 0
            if room < 0:
                raise _ForeignError("more bytes than the file has")
        elif name == "BUILD":
            state = stack.pop()
            if not isinstance(stack[-1], _Array | _Type) or not isinstance(state, tuple):
                raise _ForeignError("an object with a state of its own")
            stack[-1].build(state)
        elif name == "STOP":
            break
        elif name not in ("PROTO", "FRAME"):
            raise _ForeignError(f"the instruction {name}")
    return stack.pop()


def _marked(stack: list[Any]) -> list[Any]:
    """Take what stands above the last mark, and the mark."""
    items = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]


def _extend(target: Any, items: list[Any]) -> None:
    if type(target) is list:
        target.extend(items)
    elif type(target) is dict:
        target.update({_word(key): value for key, value in zip(items[::2], items[1::2], strict=True)})
    else:
        raise _ForeignError("items of something that is neither a list nor a dictionary")


def _word(value: Any) -> str:
    """Return a name, which is short: a pickle may use the same bytes for it as often as it likes."""
    if not isinstance(value, bytes | str):
        raise _ForeignError(f"a name that is no text but {type(value).__name__}")
    if len(value) > _LONGEST_WORD:
        raise _ForeignError(f"a name of {len(value):,} letters")
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _plain(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise _ForeignError(f"{type(value).__name__.strip('_').lower()} instead of a dictionary")
    return {key: item.values if isinstance(item, _Array) else item for key, item in value.items()}
