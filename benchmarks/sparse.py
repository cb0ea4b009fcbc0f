"""How often intervals of the law of sparse networks hold the truth, over made-up tables with noise of 1 %."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from tests.laws.test_sparse import PLANTED, networks

from benchmarks.clock import Figure
from prunescope.laws import SparseLaw

TABLES, NOISE = 60, 0.01


def measure() -> Iterator[Figure]:
    """Measure coverage; the runs of a figure are parameters."""
    kinds: dict[str, dict[str, Any]] = {
        "squared relative deviations": {},
        "Huber's loss, delta 0.001": {"loss": "huber", "delta": 0.001},
    }
    for words, settings in kinds.items():
        held: dict[str, list[bool]] = {name: [] for name in PLANTED}
        for seed in range(TABLES):
            law = SparseLaw(**settings).fit(networks(NOISE, 100 + seed))
            for name, interval in law.intervals_.items():
                if interval is not None:
                    held[name].append(interval[0] <= PLANTED[name] <= interval[1])
        yield f"coverage, 140 sparse networks, {words}", "%", [100 * float(np.mean(values)) for values in held.values()]
