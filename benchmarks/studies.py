"""Whole studies, from command to last row, beside reference runners: one process a core, one thread each.

In turns, on MNIST, which PRUNESCOPE_DATA must hold. Ours is `prunescope run` with an empty store and an empty cache: it
builds its kernels, measures how the shape trains fastest, trains, prunes, measures training and test set, and writes.
The reference (`reference.py`) measures the test set alone.

The reference takes hours for what is compared. Its rungs and epochs cost the same, whatever is pruned, so it trains two
rungs of two epochs on each core and tells what start, epoch and the rest of a rung took: they are scaled up.
Seconds of the processor's time are told beside those on the clock: other processes take none of them.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clock import Figure

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
REPLICATES, EPOCHS, LEVELS = 8, 5, 24
WIDTHS = ((1.0, "LeNet-300-100"), (1 / 8, "LeNet w=1/8"))
ROUNDS = 2


@dataclass(frozen=True)
class Spent:
    """Seconds on the clock, and of the processors' time."""

    clock: float
    processor: float


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more, "OMP_NUM_THREADS": "1"}


def reference(data: Path, width: float) -> Spent:
    """Return what reference runners take for the whole study, one on each core."""
    command = [sys.executable, "-m", "benchmarks.reference", str(data), str(width), "2", "1", str(time.time())]
    processes = [
        subprocess.Popen(command, env=_environment(), stdout=subprocess.PIPE, encoding="utf-8") for _ in range(CORES)
    ]
    courses = [json.loads(process.communicate()[0]) for process in processes]

    def whole(kind: int) -> float:
        start = statistics.mean(course["start"][kind] for course in courses)
        epoch, rung = (
            statistics.mean(times[kind] for course in courses for times in course[part]) for part in ("epochs", "rungs")
        )
        return float(start + REPLICATES / CORES * (LEVELS + 1) * (rung + EPOCHS * epoch))

    return Spent(whole(0), CORES * whole(1))


def ours(data: Path, width: float) -> Spent:
    """Return what a run of the whole study takes, into an empty store."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study.toml"
        study.write_text(
            f'name = "bench"\nreplicates = {REPLICATES}\n'
            f'[axes]\ndataset = "mnist"\nfamily = "lenet"\ndepth = 3\nwidth = {width}\n'
            f"[recipe]\nepochs = {EPOCHS}\nbatch = 128\nlearning_rate = 0.1\nlevels = {LEVELS}\n"
            'prunable = "all-but-output"\n[[treatments]]\nkind = "imp"\n',
            encoding="utf-8",
        )
        command = [sys.executable, "-m", "prunescope", "run", str(study), "--store", f"{folder}/store"]
        before, begun = used(), time.time()
        subprocess.run(
            [*command, "--data", str(data)],
            env=_environment(XDG_CACHE_HOME=f"{folder}/cache"),
            check=True,
            capture_output=True,
        )
        return Spent(time.time() - begun, used() - before)


def measure() -> Iterator[Figure]:
    """Measure whole studies where MNIST is."""
    root = Path(os.environ.get("PRUNESCOPE_DATA", ""))
    if not (root / "mnist").is_dir():
        return
    for width, words in WIDTHS:
        turns = [(reference(root, width), ours(root, width)) for _ in range(ROUNDS)]
        study = f"{words}, {REPLICATES} x {LEVELS + 1} rungs x {EPOCHS} epochs"
        for name, place in (("reference, scaled up", 0), ("ours", 1)):
            yield f"{study}: {name}, on the clock", "s", [turn[place].clock for turn in turns]
            yield f"{study}: {name}, processor", "s", [turn[place].processor for turn in turns]
        for kind in ("clock", "processor"):
            ratios = [getattr(their, kind) / getattr(own, kind) for their, own in turns]
            yield f"{study}: reference / ours, {kind}", "times", ratios
