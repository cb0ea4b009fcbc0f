"""What a study will take on this machine: time, memory, disk. Estimates, without training and without torch.

Time follows from what a run has measured here before; for shapes that it has not met, from counted multiplications and
the measured speed of a matrix product, which may be wrong by a factor of two or three.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from prunescope.data.raw import COPIES, machine_bytes, most_bytes, most_resident
from prunescope.nets import DESIGNS, Outline, network
from prunescope.run.cohorts import Key, by_key, key_of
from prunescope.run.events import NetworkMade
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import Ensemble, Ladder
from prunescope.study.catalogue import is_import_path, is_library_name
from prunescope.study.effort import effort, epochs_of, examples_of, first_missing
from prunescope.study.sections import PRUNING, Keep, Recipe, keeps
from prunescope.table import Store

# Of a step of one member of a cohort on one core, beside its multiplications; near what `make bench` shows.
DENSE_SHARE, CONVOLVED_SHARE = 0.65, 0.6  # of the rate of a large matrix product
SPARSE_GAIN = 0.9  # share of a dense step's time that a sparse one may take, since a rung's weights are sorted first
CALLS = 40e-6  # seconds of overhead
BANDWIDTH = 2e9  # bytes a second through normalisations and pools

# Until a process has loaded torch: 2.4 to 2.9 s in three runs (2 shared cores, AMD EPYC, torch 2.13.0).
START = 2.7
SOON = 8.0  # a study that one process trains in so many seconds needs no workers

PROCESS = 350 * 2**20  # bytes of a process with torch, before it trains
WAITING = 2**29  # bytes of streamed pictures that wait for their turn
ROW = 250  # bytes of a row in a packed store
LEAST_FILE = 1_000  # bytes of names and shapes in a checkpoint
LEAST_BITS = 150  # and in a file of bits
OUTCOME, SCORED = 22, 12  # bytes of the outcome on an example, of its score


@dataclass(frozen=True)
class Estimate:
    """What a study will take.

    Attributes
    ----------
    seconds
        With all cores of this machine, from the command to its end; None where the networks cannot be counted.
    measured
        Share of the training that follows from measurements of these very shapes.
    memory, disk
        Bytes: all processes together at their most; the store when all is done.
    disk_with_weights
        The latter with the surviving weights of every rung.
    """

    seconds: float | None
    measured: float
    memory: int | None
    disk: int | None
    disk_with_weights: int | None


def member_bytes(outline: Outline, recipe: Recipe, processes: int = 1) -> int:
    """Estimate the memory that one member takes in training: weights several times, activations both ways.

    Parameters
    ----------
    processes
        That share its batches; the memory is that of one of them.
    """
    copies = 5 if recipe.optimizer == "sgd" else 6
    parts = processes if outline.dense else processes * recipe.accumulate
    return 4 * (copies * outline.total + math.ceil(recipe.batch / parts) * 3 * outline.activations)


def cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cohort_bytes() -> int:
    """Return the memory that a cohort's tensors may take: a core's part of a quarter of it all, at most 2 GiB."""
    return min(2**31, machine_bytes() // (4 * cores()))


def estimate(
    ladders: Sequence[Ladder],
    store: Store | None,
    ensembles: Sequence[Ensemble] = (),
    keep: Keep = "none",
    keep_examples: Keep = "none",
    done: Mapping[str, frozenset[int]] | None = None,
    run_code: bool = False,
    keep_test_examples: Keep = "none",
    processes: int = 1,
) -> Estimate:
    """Estimate what training ladders, and scoring examples by ensembles, will take.

    Parameters
    ----------
    store
        Where a run of them has noted what it measured.
    keep
        Rungs whose weights are kept.
    keep_examples
        Rungs whose outcomes on training examples are kept.
    done
        Rungs that are finished and take no more time and memory; None: from the start.
    run_code
        Make networks of a user's own to count them, which runs their code.
    keep_test_examples
        Rungs whose outcomes on test examples are kept.
    processes
        That train each network together, for the memory that they take.
    """
    done = done or {}
    if not all(_countable(family, run_code) for family in {ladder.cell.family for ladder in ladders}):
        return Estimate(None, 0.0, None, None, None)
    count, rate = cores(), _core_rate()
    caches = [TuningCache(store, "cpu", used) for used in (1, count)]
    spent, measured, threads = [], 0.0, []
    memory = disk = weights = shapes = 0
    groups: list[tuple[Key, list[Ladder], Ensemble | None]] = [(*item, None) for item in by_key(ladders).items()]
    groups += [(key_of(scorer.ladder), [scorer.ladder], scorer) for scorer in ensembles]
    for key, group, scorer in groups:
        if scorer is None:
            plain, whole = _group_on_disk(group, keep, keep_examples, keep_test_examples)
            disk, weights = disk + plain, weights + whole
            left = [ladder for ladder in group if first_missing(ladder, done) < ladder.rungs]
            if not left:
                continue
            shapes += 1
            steps, members = effort(left, done).steps - _saved_steps(left, rate, done), len(left)
        else:
            left, steps, members = group, scorer.steps, scorer.networks
        ladder = left[0]
        outline = _outline(ladder, 0)
        known = (tuning for cache in caches for tuning in (cache.of_store(key), cache.of_machine(key)) if tuning)
        tuning = next(known, None)
        if tuning and tuning.sparse_below and scorer is None:
            steps -= _saved_by_sparse_steps(left, outline, tuning.sparse_below, done)
        step = _measured(tuning) if tuning else _guessed(outline, ladder.recipe, rate)
        spent.append(steps * step)
        threads.append(tuning.threads if tuning else 1)
        measured += spent[-1] if tuning else 0.0
        own_bytes = member_bytes(outline, ladder.recipe, processes)
        together = tuning.members if tuning else max(1, min(8, members, cohort_bytes() // own_bytes))
        memory = max(memory, together * own_bytes)
    scores = sum(LEAST_FILE + SCORED * ensemble.ladder.cell.examples for ensemble in ensembles)
    disk, weights = disk + scores, weights + scores
    if not spent:
        return Estimate(0.0, 1.0, 0, disk, weights)
    used = {ladder.cell.dataset: ladder for ladder in ladders}.values()
    datasets = max(_dataset_bytes(ladder) for ladder in used)
    # As a run decides it, by the ladders of the heaviest shape.
    training = spent[:shapes]
    at_once = threads[int(np.argmax(training))] if training else 1
    alone = processes > 1 or count == 1 or len(ladders) == 1 or at_once == count or sum(training) < SOON
    seconds = sum(spent) / (at_once if alone else count) + (START if alone else 2 * START)
    there = processes if alone else max(1, min(count, shapes))
    total = there * (PROCESS + memory + datasets)
    return Estimate(seconds, measured / sum(spent) if sum(spent) else 0.0, total, disk, weights)


def described(ladders: Sequence[Ladder]) -> Iterator[NetworkMade]:
    """Yield what is pruned of one network of each family, where its name or the recipe does not say so."""
    families: set[str] = set()
    for ladder in ladders:
        cell, rule = ladder.cell, ladder.recipe.prunable
        if cell.family in families or (cell.family in DESIGNS and isinstance(rule, str)):
            continue
        families.add(cell.family)
        yield NetworkMade(f"{cell.family} l={cell.depth} w={cell.width:g}", _outline(ladder, 0).words(rule))


@dataclass(frozen=True)
class MemberCount:
    """A network that a study trains, as counted: of its dense form, with what pruning may remove."""

    family: str
    depth: int
    width: float
    classes: int
    parameters: int
    prunable: int
    multiplications: int


def members(ladders: Sequence[Ladder], run_code: bool = False) -> Iterator[MemberCount]:
    """Yield each member of each family once, by depth and width; families that cannot be counted here are left out."""
    seen: set[tuple[object, ...]] = set()
    for ladder in ladders:
        cell, facts, rule = ladder.cell, ladder.facts, ladder.recipe.prunable
        key = (cell.family, cell.depth, cell.width, facts.classes, facts.shape, rule)
        if key in seen or not _countable(cell.family, run_code):
            continue
        seen.add(key)
        outline = _outline(ladder, 0)
        yield MemberCount(
            family=cell.family,
            depth=cell.depth,
            width=cell.width,
            classes=facts.classes,
            parameters=outline.total,
            prunable=sum(parameter.size for parameter in outline.prunable(rule)),
            multiplications=outline.multiplications,
        )


def _countable(family: str, run_code: bool) -> bool:
    """Whether networks of a family may be made here, to count them."""
    if is_library_name(family):
        return find_spec("torch") is not None and find_spec(family.partition(":")[0]) is not None
    return run_code or not is_import_path(family)


def _dataset_bytes(ladder: Ladder) -> int:
    """Return the memory that a dataset takes: its training part with copies, or what waits where that is streamed."""
    width = 4 if ladder.own is not None and ladder.own.values == "float32" else 1
    size = (ladder.facts.train + ladder.facts.validation) * math.prod(ladder.facts.shape) * width
    if size <= most_resident(machine_bytes()) and ladder.cell.dataset != "imagenet":
        return COPIES * size
    return WAITING + (size if size <= most_bytes() and ladder.cell.dataset != "imagenet" else 0)


def _group_on_disk(
    group: Sequence[Ladder], keep: Keep, keep_examples: Keep, keep_test_examples: Keep
) -> tuple[int, int]:
    """Return the bytes that ladders of one shape leave in a store: as asked, and with the weights of every rung."""
    sizes: dict[tuple[int, int, bool], tuple[int, int]] = {}
    disk = weights = 0
    for ladder in group:
        alike = id(ladder.treatment), ladder.recipe.levels, ladder.teaches
        if alike not in sizes:
            outcomes = _outcomes_on_disk(ladder, keep_examples)
            outcomes += sum(keeps(keep_test_examples, rung) for rung in range(ladder.rungs)) * _tests_on_disk(ladder)
            sizes[alike] = _on_disk(ladder, keep) + outcomes, _on_disk(ladder, "all") + outcomes
        disk, weights = disk + sizes[alike][0], weights + sizes[alike][1]
    return disk, weights


def _outline(ladder: Ladder, rung: int) -> Outline:
    cell = ladder.cell_at(rung)
    facts = ladder.facts
    return network(cell.family, cell.depth, cell.width, facts.classes, facts.shape).outline


def _saved_steps(group: Sequence[Ladder], rate: float, done: Mapping[str, frozenset[int]] | None = None) -> float:
    """Return how many steps of a first rung's network ladders save whose networks grow narrower."""
    narrow = [ladder for ladder in group if ladder.treatment.kind == "narrow"]
    if not narrow:
        return 0.0
    longest = max(narrow, key=lambda ladder: ladder.rungs)
    times = [_guessed(_outline(longest, rung), longest.recipe, rate) for rung in range(longest.rungs)]
    steps = math.ceil(longest.cell.examples / longest.recipe.batch)
    saved = [epochs_of(longest, rung) * steps * (1 - seconds / times[0]) for rung, seconds in enumerate(times)]
    return sum(sum(saved[first_missing(ladder, done or {}) : ladder.rungs]) for ladder in narrow)


def _saved_by_sparse_steps(
    group: Sequence[Ladder], outline: Outline, below: float, done: Mapping[str, frozenset[int]]
) -> float:
    """Return how many dense steps the missing rungs of ladders save by taking sparse ones, which cost less.

    Parameters
    ----------
    below
        Share of kept weights below which steps are sparse; what these cost is taken to grow in a line up to there.
    """
    weights = sum(parameter.size for parameter in outline.parameters if parameter.matrix)
    prunable = sum(layer.size for layer in outline.prunable(group[0].recipe.prunable)) / weights
    saved = 0.0
    for ladder in group:
        if ladder.treatment.kind not in PRUNING:
            continue
        steps = math.ceil(ladder.cell.examples / ladder.recipe.batch)
        for rung in range(max(1, first_missing(ladder, done)), ladder.rungs):
            share = 1 - prunable * (1 - (1 - ladder.recipe.pruning_fraction) ** rung)
            if share <= below:
                saved += epochs_of(ladder, rung) * steps * (1 - SPARSE_GAIN * share / below)
    return saved


def _measured(tuning: CohortSettings) -> float:
    """Return core seconds of a member's step, as it was measured."""
    return tuning.seconds * tuning.threads


def _guessed(outline: Outline, recipe: Recipe, rate: float) -> float:
    """Return core seconds of a member's step, from counts: three products for each of the way forward."""
    operations = 2 * 3 * outline.multiplications * recipe.batch
    if outline.dense:
        return operations / (DENSE_SHARE * rate) + CALLS
    return operations / (CONVOLVED_SHARE * rate) + 4 * outline.activations * recipe.batch / BANDWIDTH + CALLS


def _core_rate() -> float:
    """Measure operations a second of a float32 matrix product, on one core where threads can be limited."""
    a = np.ones((768, 768), np.float32)
    times = []
    for _ in range(4):
        clock = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - clock)
    return float(2 * 768**3 / min(times) / cores())


def _outcomes_on_disk(ladder: Ladder, keep: Keep) -> int:
    """Return the bytes of the outcomes on training examples that a ladder leaves in a store."""
    rungs = sum(ladder.teaches or keeps(keep, rung) for rung in range(ladder.rungs))
    return rungs * (LEAST_FILE + OUTCOME * examples_of(ladder))


def _tests_on_disk(ladder: Ladder) -> int:
    """Return the bytes of the outcomes of one network on the test examples."""
    return LEAST_BITS + math.ceil(ladder.facts.test / 8)


def _on_disk(ladder: Ladder, keep: Keep) -> int:
    """Return the bytes that a ladder leaves in a store, but for outcomes on training examples."""
    recipe, treatment = ladder.recipe, ladder.treatment
    if treatment.kind == "narrow":
        outlines = [_outline(ladder, rung) for rung in range(ladder.rungs)]
        masks = sum(layer.size for outline in outlines for layer in outline.prunable(recipe.prunable))
        whole = sum(outline.total for rung, outline in enumerate(outlines) if keeps(keep, rung))
        return ladder.rungs * (ROW + LEAST_FILE) + masks // 8 + 4 * whole
    outline = _outline(ladder, 0)
    size = sum(layer.size for layer in outline.prunable(recipe.prunable))
    rungs = ladder.rungs
    plain = rungs * (ROW + LEAST_FILE + 2 * math.ceil(size / 8))
    prunes = treatment.kind in PRUNING
    if prunes and treatment.rewind == "weights" and recipe.rewind_epoch:
        plain += 4 * outline.total
    if treatment.kind == "one-shot":
        plain += 4 * outline.total
    elif treatment.kind == "extended" or treatment.rewind in ("learning-rate", "fine-tuning"):
        plain += rungs * 4 * outline.total
    left = (1 - recipe.pruning_fraction) if prunes else 1.0
    weights = [size * left**rung + outline.total - size for rung in range(rungs) if keeps(keep, rung)]
    return plain + round(4 * sum(weights))
