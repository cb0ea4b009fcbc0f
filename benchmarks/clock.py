"""Timing of a call or a whole process, several times."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence

Figure = tuple[str, str, list[float]]


def seconds(call: Callable[[], object], runs: int) -> list[float]:
    """Return the seconds that each of several calls takes."""
    taken = []
    for _ in range(runs):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return taken


def process(arguments: Sequence[str], runs: int = 7) -> list[float]:
    """Return the seconds that a Python process takes from start to end, after one run that warms the disk."""

    def run() -> None:
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    run()
    return seconds(run, runs)
