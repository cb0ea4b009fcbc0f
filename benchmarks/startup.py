"""How long a user waits before anything happens. Goal: `prunescope --help` within 0.3 s."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.clock import Figure, process


def measure() -> Iterator[Figure]:
    """Measure whole processes, an empty one for comparison."""
    yield "an empty Python process", "s", process(["-c", "pass"])
    yield "import prunescope", "s", process(["-c", "import prunescope"])
    yield "prunescope --help", "s", process(["-m", "prunescope", "--help"])
    yield (
        "prunescope plan resnet-cifar10 (882 ladders)",
        "s",
        process(["-m", "prunescope", "plan", "resnet-cifar10"]),
    )
