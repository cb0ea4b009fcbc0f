"""What somebody's own loop tells of a rung: metrics, and outcomes and scores of single examples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from prunescope.errors import clipped, listed
from prunescope.record.module_state import plain_array, refusal
from prunescope.table import ArrayKind
from prunescope.table.arrays import packed

_NEEDED = ("index", "loss", "correct")
_NAMES = (*_NEEDED, "label", "noisy")


def kept_outcomes(given: Mapping[ArrayKind, Any], outcome: dict[str, Any]) -> dict[ArrayKind, dict[str, np.ndarray]]:
    """Return what a store keeps of outcomes on examples; the test error follows from those on test examples.

    Parameters
    ----------
    outcome
        The metrics of the network, to which the test error and its number of examples are added.
    """
    kept = {}
    if given[ArrayKind.EXAMPLES] is not None:
        kept[ArrayKind.EXAMPLES] = _example_arrays(given[ArrayKind.EXAMPLES])
    if given[ArrayKind.TEST_EXAMPLES] is not None:
        right = _correct_flags(given[ArrayKind.TEST_EXAMPLES], outcome["test_error"], outcome["test_examples"])
        outcome |= {"test_error": np.count_nonzero(~right) / len(right), "test_examples": len(right)}
        kept[ArrayKind.TEST_EXAMPLES] = packed(right)
    return kept


def _example_arrays(given: Any) -> dict[str, np.ndarray]:
    """Return the arrays that a store keeps of a network's training examples, in the order of their indices."""
    named = given if isinstance(given, Mapping) else dict(zip(_NEEDED, given, strict=False))
    if unknown := sorted(set(named) - set(_NAMES)):
        raise refusal("examples", f"must be {listed(_NAMES)}", listed(unknown))
    if missing := [name for name in _NEEDED if name not in named]:
        raise refusal("examples", "must be (index, loss, correct)", f"no {listed(missing)}")
    arrays = _columns("examples", named)
    count = len(arrays["index"])
    return {
        "index": arrays["index"].astype(np.int64),
        "label": arrays.get("label", np.full(count, -1)).astype(np.int64),
        "noisy": arrays.get("noisy", np.zeros(count)).astype(bool),
        "loss": arrays["loss"].astype(np.float32),
        "right": arrays["correct"].astype(bool),
    }


def _correct_flags(given: Any, error: Any, examples: int | None) -> np.ndarray:
    """Return which test examples are classified correctly; refuse what says otherwise than the error beside it."""
    right = _array(given)
    if right.ndim != 1 or not right.size or not np.isin(right, (0, 1)).all():
        must = "must be True or False for each example of the test set, in its order"
        raise refusal("test_correct", must, f"{right.dtype} of shape {right.shape}")
    if examples is not None and examples != len(right):
        raise refusal("test_correct", f"must be as many as test_examples, {examples}", str(len(right)))
    right = right.astype(bool)
    wrong = 1 - float(right.mean())
    if error is not None and abs(float(error) - wrong) > 0.5 / len(right):
        raise refusal("test_correct", f"must agree with test_error, {float(error):g}", f"{wrong:g}")
    return right


def score_arrays(index: Any, el2n: Any, networks: int, epoch: int) -> dict[str, np.ndarray]:
    """Return the arrays that a store keeps of scores of training examples."""
    arrays = _columns("scores", {"index": index, "el2n": el2n})
    if not np.isfinite(arrays["el2n"]).all():
        raise refusal("scores", "must be finite numbers", "others")
    counts = {"networks": np.array([networks], np.int64), "epoch": np.array([epoch], np.int64)}
    return {"index": arrays["index"].astype(np.int64), "el2n": arrays["el2n"].astype(np.float64), **counts}


def _columns(place: str, named: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return columns of one length, sorted by their indices."""
    columns = {name: _array(values) for name, values in named.items() if values is not None}
    shapes = {name: values.shape for name, values in columns.items()}
    if len(set(shapes.values())) != 1 or columns["index"].ndim != 1 or not len(columns["index"]):
        got = listed(f"{name} {shape}" for name, shape in shapes.items())
        raise refusal(place, "must hold one value for each example", got)
    order = np.argsort(columns["index"], kind="stable")
    index = columns["index"][order]
    if index.dtype.kind not in "iu" or (index[1:] == index[:-1]).any() or index[0] < 0:
        raise refusal(f"{place}: index", "must name each example once, by its place in the training set")
    return {name: values[order] for name, values in columns.items()}


def _array(values: Any) -> np.ndarray:
    return plain_array(values) if isinstance(values, Tensor) else np.asarray(values)


def plain_metric(name: str, value: Any) -> float | None:
    """Return a metric as a plain number; tensors and numpy's numbers are taken."""
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError):
        raise refusal(name, "must be a number", clipped(value)) from None
    if name == "test_error" and math.isnan(number):
        raise refusal(name, "must be a number", "nan")
    if name.endswith("_error") and 1 < number <= 100:
        hint = f"Of {number:g} %, record {number / 100:g}."
        raise refusal(name, "must be a share of examples, from 0 to 1", f"{number:g}", hint)
    return number
