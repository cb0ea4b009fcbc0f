"""Made-up outcomes on test examples whose common deviation is known, and stores that hold them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.laws.data import Numbers
from prunescope.table import ArrayEntry, ArrayKind, Store
from prunescope.table.arrays import packed
from tests.builders import rung

PRUNABLE = 1_000_000


def planted_outcomes(errors: Numbers, examples: int, likeness: float, seed: int) -> NDArray[np.bool_]:
    """Return which examples networks of some true errors classify correctly, ``[networks, examples]``.

    A network is wrong where ``sqrt(likeness)`` of an example's difficulty and ``sqrt(1 - likeness)`` of the network's
    own chance, both standard normal, exceed what leaves its error: at 1 networks err on nested sets, at 0 by chance.
    """
    random = np.random.default_rng([seed, 5])
    difficulty = random.standard_normal(examples)
    threshold = np.array([NormalDist().inv_cdf(1 - error) for error in errors.tolist()])
    chance = random.standard_normal((len(errors), examples))
    return np.asarray(np.sqrt(likeness) * difficulty + np.sqrt(1 - likeness) * chance <= threshold[:, None])


def common_share(error: float, likeness: float) -> float:
    """Return what networks of one true error share of the binomial variance: the correlation of their outcomes."""
    normal = NormalDist()
    threshold = normal.inv_cdf(1 - error)
    if likeness >= 1:
        return 1.0
    # How likely each difficulty is to be wrong, over a fine grid of difficulties.
    z = np.array([normal.inv_cdf((place + 0.5) / 4000) for place in range(4000)])
    at = (np.sqrt(likeness) * z - threshold) / np.sqrt(1 - likeness)
    wrong = np.array([normal.cdf(value) for value in at.tolist()])
    return max(0.0, float((np.mean(wrong**2) - error**2) / (error * (1 - error))))


def outcome_store(folder: Path, columns: Mapping[str, Any], right: NDArray[np.bool_], keep: bool = True) -> Store:
    """Return a store of some networks, whose errors are those of their outcomes."""
    store = Store(folder, create=True)
    rows, entries = [], []
    numbers: dict[str, int] = {}
    names = ("depth", "width", "examples", "replicate", "treatment", "density")
    given = {"treatment": ["imp"] * len(right)} | dict(columns)
    for correct, *values in zip(right, *(np.asarray(given[name]).tolist() for name in names), strict=True):
        depth, width, examples, replicate, treatment, density = values
        identity = hashlib.sha256(repr(values[:5]).encode()).hexdigest()[:32]
        number = numbers[identity] = numbers.get(identity, -1) + 1
        kept = round(density * PRUNABLE)
        changes: dict[str, Any] = {
            "depth": int(depth),
            "width": float(width),
            "examples": int(examples),
            "replicate": int(replicate),
        }
        changes |= {"treatment": treatment}
        changes |= {
            "ladder": identity,
            "density": kept / PRUNABLE,
            "kept": kept,
            "prunable": PRUNABLE,
            "parameters": kept + 100,
        }
        changes |= {"dataset": "made-up", "test_error": float(np.count_nonzero(~correct) / len(correct))}
        rows.append(rung(0, number, **changes, test_examples=len(correct)))
        entries.append(ArrayEntry(ArrayKind.TEST_EXAMPLES, identity, number, packed(correct)))
    if keep:
        store.write_all_arrays(entries)
    store.write(rows)
    return store
