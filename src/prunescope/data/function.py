"""A dataset by a function of the user's own: arrays by name, or datasets of torch's kind, which are read once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.data.layouts import refusal
from prunescope.data.npz import arrays_named, dataset_of
from prunescope.data.raw import MOST_EXAMPLES, PARTS, Faults, RawDataset, empty_array
from prunescope.errors import Fault, InputError, PrunescopeError, clipped, said
from prunescope.study.import_path import import_function

_PARTS = {**{part: part for part in PARTS}, "val": "validation"}


def read_function(name: str) -> RawDataset:
    """Call a function by its import path and read what it returns."""
    function = import_function(name)
    try:
        content = function()
    except PrunescopeError:
        raise
    except Exception as trouble:
        raise InputError("the study", [Fault(name, "must return a dataset when it is called", said(trouble))]) from None
    if not isinstance(content, Mapping):
        must = "must return a dict of train_images, train_labels, test_images and test_labels, or of train and test"
        raise InputError("the study", [Fault(name, must, type(content).__name__)])
    faults = Faults(f"dataset {name}")
    if content.keys() & _PARTS.keys():
        content = _unpacked(content, faults)
    wanted = arrays_named(map(str, content), faults)
    arrays = {}
    for given, target in wanted.items():
        with faults.file():
            arrays[target] = _array(content[given], given)
    faults.tell()
    spelled = {target: given for given, target in wanted.items()}
    return dataset_of(arrays, spelled, [str(key) for key in content if key not in wanted])


def _array(values: Any, place: str) -> NDArray[Any]:
    try:
        array = np.asarray(values)
    except Exception as trouble:  # whatever a user's own type raises
        raise refusal(place, "must be an array", said(trouble)) from None
    if array.dtype.kind == "O" and not (array.ndim == 1 and all(isinstance(item, str) for item in array)):
        raise refusal(place, "must be an array of numbers", f"a {type(values).__name__} of objects")
    return array


def _unpacked(content: Mapping[Any, Any], faults: Faults) -> dict[str, Any]:
    """Read datasets of torch's kind, which have a length and give an example and its label by index."""
    arrays: dict[str, Any] = {str(key): value for key, value in content.items() if key not in _PARTS}
    for key, part in _PARTS.items():
        if key in content:
            with faults.file():
                arrays[f"{part}_images"], arrays[f"{part}_labels"] = _read_all(content[key], key)
    faults.tell()
    return arrays


def _read_all(dataset: Any, place: str) -> tuple[NDArray[Any], NDArray[Any]]:
    must = "must be a Dataset as torch has them, which gives pairs of an example and its label"
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise refusal(place, must, type(dataset).__name__)
    count = len(dataset)
    if not 1 <= count <= MOST_EXAMPLES:
        raise refusal(place, f"must hold 1 to {MOST_EXAMPLES:,} examples", f"{count:,}")
    images: NDArray[Any] | None = None
    labels = []
    for index in range(count):
        where = f"{place}[{index}]"
        try:
            example, label = dataset[index]
            values, label = np.asarray(example), np.asarray(label)
        except Exception as trouble:
            raise refusal(where, must, said(trouble)) from None
        if images is None:
            images = empty_array((count, *values.shape), values.dtype, place)
        if values.shape != images.shape[1:] or values.dtype != images.dtype:
            shape, kind = list(images.shape[1:]), images.dtype
            raise refusal(where, f"must be {kind} {shape}, as {place}[0] is", f"{values.dtype} {list(values.shape)}")
        if label.ndim or label.dtype.kind not in "iubU":
            raise refusal(where, "must have a whole number or a text as its label", clipped(label.tolist()))
        images[index] = values
        labels.append(label.item())
    assert images is not None  # noqa: S101 - there is one example or more
    return images, np.array(labels)
