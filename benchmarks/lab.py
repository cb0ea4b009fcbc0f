"""Training in cohorts beside the plain way, and beside what the machine's matrix products would take.

Pairs in turns: the machine's rate, the plain loop, ours, the rate again. Times are of training steps alone, on both
sides, scaled to a whole epoch, for each network. Ours goes the way of a run: `choose` finds cohort, threads and
layout, `train_rung` trains; where it chooses one thread, as many processes as cores train at once. The plain loop has
all threads; beside it, where that is how ours runs, as many plain loops of one thread as cores.

The floor is the multiplications of a network, forward, back to the weights and back to the inputs (not to the first
layer's), at the rate of torch's float32 matrix products just measured.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import torch

from benchmarks import ours
from benchmarks.clock import Figure
from benchmarks.ours import SIZES, Shape, Workers, wall
from benchmarks.plain import Loop

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

EPOCHS = 10  # of tiny networks


@dataclass(frozen=True)
class Comparison:
    """A shape, the speed hoped for, and how many steps are timed."""

    words: str
    shape: Shape
    goal: float
    plain_steps: int
    steps: int
    rounds: int
    share: float | None = None


COMPARISONS = (
    Comparison("LeNet-300-100", Shape("mnist", "lenet", 3, 1.0, 8), 12, 60, 40, 5, share=0.8),
    Comparison("LeNet w=1/8", Shape("mnist", "lenet", 3, 1 / 8, 32), 50, 60, 40, 5),
    Comparison("ResNet-20 w=1/4", Shape("cifar10", "cifar-resnet", 20, 1 / 4, 4), 3, 6, 4, 3),
    Comparison("ResNet-20", Shape("cifar10", "cifar-resnet", 20, 1.0, 4), 2, 2, 1, 3),
    Comparison("ResNet-8 w=1/8", Shape("cifar10", "cifar-resnet", 8, 1 / 8, 8), 5, 10, 8, 5),
)


def rate(device: str) -> float:
    """Return the multiplications a second of torch's float32 matrix products, best of four."""
    size = 2048
    a, b = torch.rand(size, size, device=device), torch.rand(size, size, device=device)
    best = float("inf")
    for _ in range(4):
        begun = time.perf_counter()
        torch.mm(a, b)
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    return size**3 / best


def multiplications(shape: Shape) -> int:
    """Return what one example's step needs: three products for each layer, two for the first."""
    outline = shape.bench().network.outline
    first = outline.parameters[0]
    pixels = prod(SIZES[shape.dataset][1][1:]) if len(first.shape) == 4 else 1
    return 3 * outline.multiplications - first.size * pixels


def _has_bfloat16() -> bool:
    flags = Path("/proc/cpuinfo").read_text(encoding="ascii").split() if Path("/proc/cpuinfo").exists() else []
    return "avx512_bf16" in flags or "amx_bf16" in flags


def compare(case: Comparison, workers: Workers) -> Iterator[Figure]:
    """Measure one shape both ways."""
    shape = case.shape
    batches = SIZES[shape.dataset][0] / shape.recipe.batch
    loop = Loop(ours.made_up(shape.dataset), shape.recipe, shape.family, shape.depth, shape.width, shape.device)
    loop.seconds(2)
    (choice,) = workers(1, ours.chosen, shape)
    hands = CORES // choice.threads if shape.device == "cpu" else 1
    rates, plain, narrow, own = [], [], [], []
    for _ in range(case.rounds):
        before = rate(shape.device)
        plain.append(loop.seconds(case.plain_steps) / case.plain_steps * batches)
        if hands > 1:
            took = wall(workers(hands, ours.plain, shape, case.plain_steps))
            narrow.append(took / case.plain_steps / hands * batches)
        took = wall(workers(hands, ours.trained, shape, choice, case.steps))
        own.append(took / case.steps / hands / choice.members * batches)
        rates.append(max(before, rate(shape.device)))
    floors = [multiplications(shape) * SIZES[shape.dataset][0] / each for each in rates]
    words = case.words if shape.device == "cpu" else f"{case.words}, GPU"
    how = f"{choice.members} members, {choice.threads} thread{'s' * (choice.threads > 1)}"
    how += f" x {hands}" if hands > 1 else ""
    if shape.family != "lenet":
        how += f", {choice.together} at once, " + ("planar" if choice.planar else f"pack {choice.pack}")
    yield f"{words}: float32 products of 2048 x 2048", "GFLOP/s", [2e-9 * each for each in rates]
    yield f"{words}, plain: a network's epoch", "s", plain
    if narrow:
        yield f"{words}, plain, 1 thread x {hands}", "s", narrow
    yield f"{words}, ours ({how})", "s", own
    yield f"{words}: plain / ours (goal {case.goal:g})", "times", [a / b for a, b in zip(plain, own, strict=True)]
    if narrow:
        yield f"{words}: plain, 1 thread x {hands} / ours", "times", [a / b for a, b in zip(narrow, own, strict=True)]
    goal = f" (goal {case.share:g})" if case.share else ""
    yield f"{words}: floor by multiplications", "s", floors
    yield f"{words}: floor / ours{goal}", "of 1", [a / b for a, b in zip(floors, own, strict=True)]


def half(case: Comparison, workers: Workers) -> Iterator[Figure]:
    """Measure bfloat16 beside float32."""
    ways = []
    for precision in ("float32", "bfloat16"):
        shape = replace(case.shape, precision=precision)
        ways.append((shape, workers(1, ours.chosen, shape)[0]))
    ratios = []
    for _ in range(case.rounds):
        full, short = (
            wall(workers(1, ours.trained, shape, choice, case.steps)) / choice.members for shape, choice in ways
        )
        ratios.append(full / short)
    yield f"{case.words}: float32 / bfloat16", "times", ratios


def studies() -> Iterator[Figure]:
    """Run studies of tiny networks: what is not training, and memory. The long one runs once, for it takes minutes."""
    with Workers(1) as fresh:
        used = fresh(1, ours.memory, 50, 4, EPOCHS)[0]
        turns = [fresh(1, ours.overhead, 200, EPOCHS)[0] for _ in range(3)]
        total, inside, resident = fresh(1, ours.long_study, 2000, EPOCHS)[0]
    words = f"200 ladders of 6 tiny networks, {EPOCHS} epochs"
    yield f"{words}: whole run", "s", [remembered[0] for _, remembered in turns]
    yield f"{words}: not in rungs (goal 10)", "%", [100 * (1 - inside / total) for _, (total, inside) in turns]
    yield f"{words}: the same, shape measured first", "%", [100 * (1 - inside / total) for (total, inside), _ in turns]
    words = f"2,000 ladders of 6 tiny networks, {EPOCHS} epochs"
    yield f"{words}: not in rungs, shape measured first (goal 10)", "%", [100 * (1 - inside / total)]
    tenth = len(resident) // 10
    yield f"{words}: memory in use after a tenth of it", "MB", [resident[tenth]]
    yield f"{words}: memory in use at the end", "MB", [resident[-1]]
    yield "most memory after 50 such ladders", "MB", [used[0]]
    yield "most memory after 200", "MB", [used[-1]]


def measure() -> Iterator[Figure]:
    """Measure training on the processor, and on a GPU where there is one."""
    with Workers(CORES) as workers:
        for case in COMPARISONS:
            yield from compare(case, workers)
        if _has_bfloat16():
            yield from half(COMPARISONS[0], workers)
        if torch.cuda.is_available():
            for case in COMPARISONS:
                yield from compare(replace(case, shape=replace(case.shape, device="cuda")), workers)
    yield from studies()
