"""How long networks take for one batch on this machine, on one thread and in turns.

The clock is that of the thread: what other processes of the machine take meanwhile does not count. Where it has nothing
else to do that is the time that passes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prunescope.run.tune import threads

ROUNDS, FEWEST = 41, 5  # turns
LONGEST = 10.0  # seconds of measuring, where the fewest turns allow it
WARM_UP = 3


@dataclass(frozen=True)
class Timing:
    """Seconds of one thread for one batch: median, least and most; and how often it was measured.

    Attributes
    ----------
    share, share_least, share_most
        The time as a share of the first network's in the same turn.
    """

    median: float
    least: float
    most: float
    share: float
    share_least: float
    share_most: float
    runs: int


def timed(networks: Mapping[str, nn.Module], pictures: Tensor) -> dict[str, Timing]:
    """Time networks on one batch, one after another, again and again."""
    times: dict[str, list[float]] = {name: [] for name in networks}
    with torch.inference_mode(), threads(1):
        for network in networks.values():
            for _ in range(WARM_UP):
                network(pictures)
        begun = time.perf_counter()
        for turn in range(ROUNDS):
            if turn >= FEWEST and time.perf_counter() - begun > LONGEST:
                break
            for name, network in networks.items():
                clock = time.thread_time()
                network(pictures)
                times[name].append(time.thread_time() - clock)
    first = next(iter(times.values()))
    timings = {}
    for name, seconds in times.items():
        shares = [second / max(base, 1e-9) for second, base in zip(seconds, first, strict=True)]
        timings[name] = Timing(
            statistics.median(seconds),
            min(seconds),
            max(seconds),
            statistics.median(shares),
            min(shares),
            max(shares),
            len(seconds),
        )
    return timings
