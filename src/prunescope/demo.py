"""The walk that ``prunescope demo`` takes: a family of networks trained for real, its table, its law.

It also leaves a made-up table of a larger family (`sample_path`), to try the other commands on.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prunescope.choose import smallest_network
from prunescope.errors import InputError, PrunescopeError
from prunescope.laws import JointLaw
from prunescope.spec import effort, read_study
from prunescope.table import Store, Table, is_store, read_table, write_table

if TYPE_CHECKING:
    from prunescope.run.events import Tell

BAR = 44  # characters of an error of 1
BOUND = 0.12  # error that the demo chooses a network for
FAULTY = "density;eror\n1.0;8,4\n0,8;9.1\n1.7;none\n"


def sample_path() -> Path:
    """Return the path of the sample table: made up from the papers' law (`tools/sample.py`), not measured."""
    return Path(str(resources.files("prunescope") / "samples" / "family.csv"))


def _refuse_to_replace(folder: Path) -> None:
    """Leave alone what is the user's and happens to have the name of something of the demo's."""
    own: dict[str, Callable[[Path], bool]] = {
        "digits": is_store,
        "family.csv": lambda path: path.is_file() and path.read_bytes() == sample_path().read_bytes(),
        "family.parquet": _is_sample,
        "faulty.csv": lambda path: path.is_file() and path.read_bytes() == FAULTY.encode(),
    }
    for name, is_own in own.items():
        path = folder / name
        if path.exists() and not is_own(path):
            raise PrunescopeError(f"{path} is there already and is not the demo's; name another folder with --out")


def _is_sample(path: Path) -> bool:
    """Whether a file holds the sample table."""
    try:
        return read_table(path) == read_table(sample_path())
    except PrunescopeError:
        return False


def walk(folder: Path, say: Callable[[str], None], tell: Tell) -> None:
    """Plan a study, train it, look at its table, fit a law to it; what was trained before is not trained again.

    Parameters
    ----------
    say
        Prints a line.
    tell
        Told how far training is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_to_replace(folder)
    study = read_study("digits")
    total = effort(study.ladders)
    say("1. A study says what to train: prunescope plan digits")
    say(f"   {study.purpose}")
    say(f"   {len(study.cells)} cells, {len(study.ladders)} ladders, {total.networks:,} networks to train\n")

    path = folder / "digits"
    say(f"2. A run trains it, many networks at a time; stop it and it goes on: prunescope run digits --store {path}")
    from prunescope.run import run_study

    store = Store(path, create=True)
    report = run_study(study, store, tell=tell)
    if report.failures or report.elsewhere:
        raise PrunescopeError(f"not everything was trained: prunescope status {path} tells more")
    say(
        f"   {report.networks:,} networks trained"
        + (f" in {report.seconds:.0f} s\n" if report.networks else ": all were\n")
    )

    table = store.table()
    say(f"3. The table has one row for each of them, {len(table):,}. The error rises from a plateau along a power law,")
    say("   and levels off where next to nothing is left; the wider network keeps its plateau for longer:")
    for line in _curves(table):
        say(line)

    law = JointLaw(intervals="quick").fit(table)
    fit = law.fits_[0]
    say(f"\n4. One law for all of them: prunescope fit {path} --law joint")
    say("   " + ", ".join(f"{name} {value:.3g}" for name, value in law.parameters_.items()))
    say(f"   Its deviation from the measured means is {fit.std_deviation:.0%}; it says itself what it cannot tell.")
    unpruned = float(table["test_error"][(table["rung"] == 0) & (table["width"] == 0.2)].mean())
    new = {"width": [0.2], "density": [0.1], "unpruned_error": [unpruned]}
    say(f"   Width 0.2 at density 0.1: error {law.predict(new)[0]:.3f}, after {unpruned:.3f} unpruned")

    say(f"\n5. Which network, and how much: prunescope choose {path} --max-error {BOUND:g}")
    answer = smallest_network(table, BOUND).answers[0]
    sure = answer.robust or answer.choice
    size = f"{sure.parameters:,.0f} parameters"
    say(f"   An error of at most {BOUND:g}: {sure.name} pruned to density {sure.density:.3f}, {size},")
    say(f"   keeps it in {sure.probability:.0%} of trainings.")
    if answer.unpruned is not None and answer.unpruned_parameters is not None:
        times = answer.unpruned_parameters / sure.parameters
        say(f"   The smallest unpruned network that will do is {answer.unpruned.name}, {times:.2g} times as large.")

    sample = folder / "family.csv"
    sample.write_bytes(sample_path().read_bytes())
    write_table(read_table(sample), folder / "family.parquet")
    say(f"\n6. {sample} is a larger family, made up from the first paper's law, to try other commands on:")
    say(f"   prunescope table {sample}, prunescope compare {sample}")
    faulty = folder / "faulty.csv"
    faulty.write_bytes(FAULTY.encode())
    say(f"\n7. A file with faults is told all of them at once: prunescope table {faulty}")
    try:
        read_table(faulty)
    except InputError as told:
        say("\n".join(f"   {line}" for line in str(told).splitlines()))
    say(f"\nAll files are in {folder}. Next: prunescope report {path}, prunescope plan, docs/lab.md, docs/laws.md")


def _curves(table: Table) -> list[str]:
    """Return the error over density of the narrowest and the widest network, drawn with letters."""
    most = table["examples"] == table["examples"].max()
    narrow, wide = float(table["width"].min()), float(table["width"].max())
    lines = [f"   {'density':>9} {'width ' + format(narrow, 'g'):>10} {'width ' + format(wide, 'g'):>10}"]
    for rung in range(0, int(table["rung"].max()) + 1, 2):
        here = most & (table["rung"] == rung)
        first, second = (
            float(np.mean(table["test_error"][here & (table["width"] == width)])) for width in (narrow, wide)
        )
        density = float(np.mean(table["density"][here]))
        low, high = sorted((round(BAR * first), round(BAR * second)))
        bar = " " * low + ("*" if low == high else "w" + " " * (high - low - 1) + "n")
        lines.append(f"   {density:9.4f} {first:10.3f} {second:10.3f}  |{bar}")
    lines.append("   (n: narrow, w: wide, *: both)")
    return lines
