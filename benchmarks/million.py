"""Every reading command on a packed store of a million rungs: seconds and peak memory of whole processes.

The store is made up: one study of 10,000 configurations over depth, width and examples, four replicates, 25 rungs,
errors by Eq. 2 with noise. Goals: 10 s and 1 GB for each command, 60 s for a report.

python -m benchmarks million                                  all of it
python -m benchmarks.million --rungs 100000 --only fit        a smaller store, some commands
python -m benchmarks.million --store /tmp/million --runs 3    kept between calls; three runs of each command
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clock import Figure
from prunescope.laws import joint_error
from prunescope.study import Study
from prunescope.study.sections import Axes, Recipe, Treatment
from prunescope.table import STORED, Kind, Store
from prunescope.table.columns import conform
from prunescope.table.findings import Findings

RUNGS = 1_000_000
NAME, LEVELS, REPLICATES, SHARDS = "million", 25, 4, 40
LAW = {"eps_up": 0.9, "gamma": 1.1, "p_prime": 0.06, "phi": 0.9, "psi": 1.2}
GIGABYTE = 1e6  # in the kilobytes that the system counts memory in


def made_up_study(rungs: int) -> Study:
    """Return a study of about as many rungs: configurations over depth, width and examples."""
    cells = rungs / (LEVELS * REPLICATES)
    side = max(3, round(cells ** (1 / 3)))
    depths, widths = round(side * 1.15), side
    examples = max(1, round(cells / (depths * widths)))
    axes = Axes.model_validate(
        {
            "dataset": "mnist",
            "family": "lenet",
            "depth": list(range(2, 2 + depths)),
            "width": np.geomspace(0.25, 4, widths).round(4).tolist(),
            "examples": np.geomspace(5_000, 60_000, examples).astype(int).tolist(),
        }
    )
    recipe = Recipe.model_validate(
        {"epochs": 40, "batch": 128, "learning_rate": 0.1, "prunable": "all", "levels": LEVELS - 1}
    )
    return Study(NAME, (axes,), recipe, (Treatment(kind="imp"),), REPLICATES)


def made_up_rungs(study: Study) -> Iterator[dict[str, Any]]:
    """Yield the columns of a study's rungs in parts, in no order that a reader could lean on."""
    chance = np.random.default_rng(0)
    ladders = np.array(study.ladders, object)
    chance.shuffle(ladders)
    for number, part in enumerate(np.array_split(ladders, SHARDS)):
        yield _rungs(list(part), number, chance)


def _rungs(ladders: list[Any], number: int, chance: np.random.Generator) -> dict[str, Any]:
    count = len(ladders) * LEVELS

    def repeated(values: list[Any]) -> np.ndarray:
        return np.repeat(np.array(values, object), LEVELS)

    depth = repeated([ladder.cell.depth for ladder in ladders]).astype(np.int64)
    width = repeated([ladder.cell.width for ladder in ladders]).astype(np.float64)
    examples = repeated([ladder.cell.examples for ladder in ladders]).astype(np.int64)
    rung = np.tile(np.arange(LEVELS), len(ladders))
    prunable = (30_000 * width + 30_000 * width**2 * (depth - 1)).astype(np.int64)
    kept = np.maximum(1, (prunable * 0.8**rung).astype(np.int64))
    plateau = 0.02 + 0.3 * (depth * width**2 + 1) ** -0.35 * (examples / 50_000) ** -0.3 / 4
    error = joint_error(plateau, kept / prunable, depth, width, **LAW)
    error = np.clip(error * (1 + 0.03 * chance.standard_normal(count)), 1e-4, 0.9)
    columns: dict[str, Any] = {column.name: [None] * count for column in STORED if column.kind is Kind.TEXT}
    columns |= {column.name: np.full(count, np.nan) for column in STORED if column.kind is Kind.NUMBER}
    same = {
        "study": NAME,
        "family": "lenet",
        "dataset": "mnist",
        "recipe": ladders[0].recipe_identity,
        "treatment": "imp",
        "rewind": "weights",
        "score": "magnitude",
        "scope": "global",
        "version": "0.1.0",
    }
    columns |= {name: np.full(count, value, object) for name, value in same.items()}
    seconds = number * 100_000 + np.arange(count) * 3
    started = np.datetime_as_string(np.datetime64("2026-01-01T00:00:00") + seconds, unit="s")
    return columns | {
        "ladder": repeated([ladder.identity for ladder in ladders]),
        "replicate": repeated([ladder.replicate for ladder in ladders]).astype(np.int64),
        "rung": rung,
        "depth": depth,
        "width": width,
        "examples": examples,
        "label_noise": np.zeros(count),
        "density": kept / prunable,
        "kept": kept,
        "prunable": prunable,
        "parameters": kept + 300 * depth,
        "connected": np.ones(count, bool),
        "test_error": error,
        "test_loss": 3 * error,
        "train_error": error / 2,
        "train_loss": 1.5 * error,
        "epochs": np.full(count, 40),
        "seconds": 3 + chance.random(count),
        "device": np.where(chance.random(count) < 0.5, "cuda: NVIDIA A100", "cpu").astype(object),
        "started": np.char.add(started, "+00:00").astype(object),
    }


def make(path: Path, rungs: int) -> Store:
    """Make the store, in some shards that are still to be packed."""
    store = Store(path, create=True)
    study = made_up_study(rungs)
    store.begin(study)
    names = [column.name for column in STORED]
    for columns in made_up_rungs(study):
        store.shards.write(conform(columns, Findings("million"), names).columns)
    return store


def apart(path: Path, rungs: int) -> None:
    """Make the store in a process of its own: what one process held at most counts for those it starts as well."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=make, args=(path, rungs))
    process.start()
    process.join()


def commands(store: Path, scratch: Path) -> dict[str, list[str]]:
    """Return the commands to measure, by name; those that need what others wrote come after them."""
    law, dense = str(scratch / "law.json"), str(scratch / "dense.json")
    at = str(store)
    return {
        "compact": ["compact", at],
        "status": ["status", at],
        "table": ["table", at],
        "filter": ["table", at, "--where", "depth = 8 and density < 0.5"],
        "columns": ["table", at, "--columns", "depth,width,density,error"],
        "query": ["table", at, "--query", "select depth, avg(error) as error from rungs group by depth"],
        "parquet": ["table", at, "--out", str(scratch / "rows.parquet")],
        "csv": ["table", at, "--out", str(scratch / "rows.csv")],
        "fit": ["fit", at, "--law", "joint", "--save", law],
        "fit-single": ["fit", at, "--law", "single", "--where", "depth = 8"],
        "fit-dense": ["fit", at, "--law", "dense", "--save", dense],
        "predict": ["predict", law, at, "--out", str(scratch / "predicted.parquet")],
        "compare": ["compare", at],
        "sensitivity": ["sensitivity", at],
        "choose": ["choose", at, "--max-error", "0.08"],
        "next": ["next", at, "--max-error", "0.08"],
        "lens": ["lens", at],
        "report": ["report", at, "--out", str(scratch / "report.html")],
    }


def run(arguments: Sequence[str], limit: float = 600, shown: bool = False) -> tuple[float, float, float, int]:
    """Return a command's seconds from start to end, those of processors, its peak memory in GB, and how it ended."""
    begun = time.perf_counter()
    started = [sys.executable, "-c", "from prunescope.cli import start; start()", *arguments]
    process = subprocess.Popen(started, stdout=subprocess.DEVNULL, stderr=None if shown else subprocess.DEVNULL)
    while True:
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
        taken = time.perf_counter() - begun
        if ended:
            break
        if taken > limit:
            process.kill()
        time.sleep(0.02)
    process.returncode = os.waitstatus_to_exitcode(status)
    return taken, used.ru_utime + used.ru_stime, used.ru_maxrss / GIGABYTE, process.returncode


def measured(path: Path, runs: int, only: Sequence[str] = (), limit: float = 600) -> Iterator[Figure]:
    """Yield seconds and peak memory of each command over some runs."""
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in commands(path, Path(folder)).items():
            if only and name not in only:
                continue
            outcomes = [run(arguments, limit) for _ in range(runs if name != "compact" else 1)]
            words = "".join(f", ended with {code}" for code in sorted({code for *_, code in outcomes}) if code)
            yield f"{name}: whole process{words}", "s", [seconds for seconds, *_ in outcomes]
            yield f"{name}: time of all processors", "s", [seconds for _, seconds, *_ in outcomes]
            yield f"{name}: peak memory", "GB", [memory for *_, memory, _ in outcomes]


def measure() -> Iterator[Figure]:
    """Measure all commands on a store of a million rungs."""
    with tempfile.TemporaryDirectory() as folder:
        apart(Path(folder) / "store", RUNGS)
        yield from measured(Path(folder) / "store", 3)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million")
    parser.add_argument("--rungs", type=int, default=RUNGS)
    parser.add_argument("--store", type=Path, help="made there, and kept")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--limit", type=float, default=600, help="seconds after which a command is ended")
    parser.add_argument("--only", nargs="*", default=[])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = asked.store or Path(folder) / "store"
        if not path.exists():
            apart(path, asked.rungs)
        for figure, unit, values in measured(path, asked.runs, asked.only, asked.limit):
            print(f"{figure:48}{min(values):9.2f}{max(values):9.2f}  {unit} ({len(values)})", flush=True)


if __name__ == "__main__":
    _main()
