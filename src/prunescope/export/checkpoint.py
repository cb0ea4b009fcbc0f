"""Networks as files: safetensors, with everything that is needed to compute them in its metadata as JSON.

A sparse file holds for each tensor that has lost weights ``mask/<name>``, a bit for each weight, and ``kept/<name>``,
the weights that survive; all else as it is. A dense file holds tensors as they are. A hash over the lot is in the
metadata, so a flipped bit is an error and not a wrong answer. No pickle, and nothing in a file is ever run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from prunescope.errors import DamageError, Fault, InputError, PrunescopeError, clipped
from prunescope.export.program import Arrays, Step

FORMAT = "1"
_MARK = "prunescope network"


RECORDED = "recorded"
"""The form of networks that were recorded from loops of your own: their modules take what those took."""


@dataclass(frozen=True)
class Card:
    """What a file says of its network.

    Attributes
    ----------
    form
        ``sparse``, ``dense`` or ``recorded``.
    shape
        Of a picture: channels, height, width.
    mean, std
        Per channel, of the values from 0 to 255 that it was trained on.
    density, kept, prunable
        Surviving weights: their share, their number, and of how many.
    test_error
        On the dataset's test set, in float32.
    retrained
        Whether it was trained for the export, since its weights had not been kept.
    version
        Of prunescope.
    """

    form: str
    family: str
    depth: int
    width: float
    classes: int
    shape: tuple[int, ...]
    dataset: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    study: str
    ladder: str
    replicate: int
    rung: int
    density: float
    kept: int
    prunable: int
    test_error: float
    retrained: bool
    version: str


@dataclass(frozen=True, eq=False)
class SavedNetwork:
    """What a file holds.

    Attributes
    ----------
    steps
        How the network is computed; none where that is a module of a user's own.
    tensors
        All of them whole, pruned weights zero.
    """

    card: Card
    steps: tuple[Step, ...]
    tensors: Arrays


def write(path: Path, card: Card, steps: tuple[Step, ...], tensors: Arrays, masks: Mapping[str, np.ndarray]) -> None:
    """Write a network; tensors that have a mask as bits and surviving weights, where not all survive."""
    from safetensors.numpy import save

    masks = {name: mask for name, mask in masks.items() if not mask.all()}
    stored: dict[str, np.ndarray] = {}
    for name, values in tensors.items():
        if name in masks:
            stored[f"mask/{name}"] = np.packbits(masks[name])
            stored[f"kept/{name}"] = values[masks[name]]
        else:
            stored[name] = np.asarray(values, order="C")  # `ascontiguousarray` would give a single number an axis
    content = {
        "card": asdict(card),
        "steps": [_plain(step) for step in steps],
        "masked": {name: list(mask.shape) for name, mask in masks.items()},
    }
    text = json.dumps(content, separators=(",", ":"))
    metadata = {_MARK: FORMAT, "content": text, "sha256": _digest(text, stored)}
    path.write_bytes(save(stored, metadata))


def read(path: Path) -> SavedNetwork:
    """Read a network; refuse a file that is not what was written."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        kind = "a folder" if path.is_dir() else "nothing"
        raise InputError(str(path), [Fault("the network", "must be a file that prunescope export wrote", kind)])
    try:
        with safe_open(str(path), framework="numpy") as opened:
            metadata = opened.metadata() or {}
            stored = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as trouble:
        raise DamageError(f"{path} is no safetensors file, or only a part of one: {trouble}") from None
    if _MARK not in metadata:
        raise DamageError(f"{path} holds tensors, but no network that prunescope exported")
    if metadata[_MARK] != FORMAT:
        words = f"{path} is a network of format {clipped(metadata[_MARK])}; this version reads format {FORMAT}"
        raise PrunescopeError(words)
    text = metadata.get("content", "")
    if metadata.get("sha256") != _digest(text, stored):
        raise DamageError(f"{path} is damaged: its content is not what was written. Restore it from a copy.")
    try:
        content = json.loads(text)
        card, steps = _card(content["card"]), tuple(_step(step) for step in content["steps"])
        masked = {str(name): tuple(map(int, shape)) for name, shape in content["masked"].items()}
        return SavedNetwork(card, steps, _whole(stored, masked))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as trouble:
        raise DamageError(f"{path} does not say what network it is: {clipped(str(trouble))}") from None


def _whole(stored: Arrays, masked: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Return the tensors with pruned weights as zeros."""
    arrays = {name: array for name, array in stored.items() if not name.startswith(("mask/", "kept/"))}
    for name, shape in masked.items():
        bits, packed, size = stored[f"mask/{name}"], stored[f"kept/{name}"], prod(shape)
        if min(shape, default=0) < 1 or bits.dtype != np.uint8 or bits.shape != ((size + 7) // 8,):
            raise ValueError(f"the mask of {name} is not {size:,} bits")
        mask = np.unpackbits(bits, count=size).astype(bool).reshape(shape)
        arrays[name] = np.zeros(shape, packed.dtype)
        arrays[name][mask] = packed
    return arrays


def _digest(text: str, tensors: Arrays) -> str:
    total = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        total.update(f"{name} {tensors[name].dtype.str} {tensors[name].shape}".encode())
        total.update(np.ascontiguousarray(tensors[name]).tobytes())
    return total.hexdigest()


def _plain(step: Step) -> dict[str, Any]:
    """Return a step as plain content, without what is as usual."""
    usual = {"name": "", "stride": 1, "size": ()}
    return {key: value for key, value in asdict(step).items() if usual.get(key) != value}


def _step(content: Mapping[str, Any]) -> Step:
    return Step(
        str(content["kind"]),
        tuple(map(int, content["inputs"])),
        str(content.get("name", "")),
        int(content.get("stride", 1)),
        tuple(map(int, content.get("size", ()))),
    )


def _card(content: Mapping[str, Any]) -> Card:
    """Return a card, each entry of the type that it must be."""
    kinds: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": bool}
    values: dict[str, Any] = {}
    for name, kind in Card.__annotations__.items():
        value = content[name]
        if kind.startswith("tuple"):
            convert = float if "float" in kind else int
            values[name] = tuple(convert(item) for item in value)
        elif not isinstance(value, (int, float) if kind == "float" else kinds[kind]):
            raise TypeError(f"{name} must be of type {kind}")
        else:
            values[name] = kinds[kind](value)
    card = Card(**values)
    if card.form == RECORDED:
        return card
    if len(card.shape) != 3 or min(card.shape) < 1 or not len(card.mean) == len(card.std) == card.shape[0]:
        raise ValueError("shape, mean and std must be those of pictures")
    return card
