"""The walk that ``prunescope demo`` takes: networks trained for real, their laws, a choice, the lens, a page.

It also leaves a made-up table of a larger family (`sample_path`), to try the other commands on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib import resources
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from prunescope.choose import Answer, smallest_network
from prunescope.errors import InputError, PrunescopeError, command, whole_percent
from prunescope.laws import JointLaw, SingleLaw
from prunescope.lens import LensResult, analyze
from prunescope.report import report, write_page
from prunescope.study import Study, effort, read_study
from prunescope.table import Store, Table, is_store, read_table, write_table

if TYPE_CHECKING:
    from prunescope.run.events import EventHandler

    Showing = Callable[[str], AbstractContextManager[EventHandler]]

BAR = 44  # characters of an error of 1
BOUND = 0.12  # error that the demo chooses a network for
NOISE = (0.0, 0.3)  # shares of wrong labels that it looks at through the lens
REWINDS = ("learning-rate", "weights")  # the second paper's way of retraining, and the first's beside it
REWOUND = {"learning-rate": "the learning rate", "weights": "weights"}
FAULTY = "density;eror\n1.0;8,4\n0,8;9.1\n1.7;none\n"
PAGE = "report.html"


def sample_path() -> Path:
    """Return the path of the sample table: made up from the papers' law (`tools/sample.py`), not measured."""
    return Path(str(resources.files("prunescope") / "samples" / "family.csv"))


def _lens_study() -> Study:
    """Return the part of the preset ``digits-lens`` that the demo has the time for."""
    whole = read_study("digits-lens")
    usual = [treatment for treatment in whole.treatments if treatment.kind == "imp" and treatment.score == "magnitude"]
    pruned = [treatment for rewind in REWINDS for treatment in usual if treatment.rewind == rewind]
    beside = (treatment for treatment in whole.treatments if treatment.kind in ("extended", "narrow"))
    axes = tuple(axes_of_one.model_copy(update={"label_noise": NOISE}) for axes_of_one in whole.axes)
    return replace(whole, name="digits-lens in part", axes=axes, treatments=(*pruned, *beside))


def _refuse_to_replace(folder: Path) -> None:
    """Refuse to overwrite a user's file that has the name of one of the demo's."""
    options: dict[str, Callable[[Path], bool]] = {
        "digits": is_store,
        "lens": is_store,
        "family.csv": lambda path: path.is_file() and path.read_bytes() == sample_path().read_bytes(),
        "family.parquet": _is_sample,
        "faulty.csv": lambda path: path.is_file() and path.read_bytes() == FAULTY.encode(),
        PAGE: lambda path: path.is_file() and b"prunescope" in path.read_bytes(),
    }
    for name, is_own in options.items():
        path = folder / name
        if path.exists() and not is_own(path):
            raise PrunescopeError(f"{path} is there already and is not the demo's; name another folder with --out")


def _is_sample(path: Path) -> bool:
    """Whether a file holds the sample table."""
    try:
        return read_table(path) == read_table(sample_path())
    except PrunescopeError:
        return False


def walk(folder: Path, say: Callable[[str], None], showing: Showing) -> None:
    """Plan studies, train them, fit laws, choose, look closer, write the page; nothing is trained twice.

    Parameters
    ----------
    say
        Prints a line.
    showing
        Opens what shows how far a training is, by its name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_to_replace(folder)
    study = read_study("digits")
    total = effort(study.ladders)
    say("1. A study says what to train: prunescope plan digits")
    say(f"   {study.purpose}")
    say(f"   {len(study.cells)} cells, {len(study.ladders)} ladders, {total.networks:,} networks to train\n")

    path = folder / "digits"
    typed = command("run", "digits", "--store", path)
    say(f"2. A run trains it, many networks at a time; stop it and it goes on: {typed}")
    store = _trained(study, path, say, showing)
    table = store.table()
    say(f"\n3. The table has one row for each, {len(table):,}. The error rises from a plateau along a power law,")
    say("   and levels off at the lowest densities; the wider network keeps its plateau longer:")
    for line in _curves(table):
        say(line)

    say(f"\n4. A law for each cell, and one for all of them: {command('fit', path, '--law', 'joint')}")
    singles = SingleLaw(intervals="none").fit(table).fits_
    law = JointLaw(intervals="quick").fit(table)
    fit = law.fits_[0]
    say("   " + ", ".join(f"{name} {value:.3g}" for name, value in law.parameters_.items()))
    alone = median(single.std_deviation for single in singles)
    say(
        f"   It deviates by {whole_percent(fit.std_deviation)} (sigma); single-cell laws by {whole_percent(alone)} "
        "(median)."
    )

    say(f"\n5. Which network, and how much: {command('choose', path, '--max-error', BOUND)}")
    answer = smallest_network(table, BOUND).answers[0]
    for line in _chosen(answer):
        say(f"   {line}")

    path = folder / "lens"
    noise = f"{whole_percent(NOISE[-1])} wrong labels"
    say(f"\n6. Why pruning helps or hurts, with {noise} and with none: {command('lens', path)}")
    _trained(_lens_study(), path, say, showing)
    results = {rewind: analyze(path, treatment=f"imp {rewind}") for rewind in REWINDS}
    for rewind, result in results.items():
        say(f"   with rewinding of {REWOUND[rewind]}:")
        for cell in result.cells:
            say(f"     label noise {cell.label_noise:g}: {cell.diagnosis.words}")

    page = folder / PAGE
    say("\n7. All of it as a page that opens offline:")
    say(f"   {command('report', folder / 'digits', '--lens', path, '--max-error', BOUND, '-o', page)}")
    write_page(report(store, lens=path, max_error=BOUND), page)

    sample = folder / "family.csv"
    sample.write_bytes(sample_path().read_bytes())
    write_table(read_table(sample), folder / "family.parquet")
    say(f"\n8. {sample} is a larger family, made up from the first paper's law, to try other commands on:")
    say(f"   {command('table', sample)}, {command('compare', sample)}")
    faulty = folder / "faulty.csv"
    faulty.write_bytes(FAULTY.encode())
    say(f"\n9. All errors in a file are reported together: {command('table', faulty)}")
    try:
        read_table(faulty)
    except InputError as error:
        say("\n".join(f"   {line}" for line in str(error).splitlines()))

    say("\nWhat matters:")
    say(
        f"- One law predicts the error of every network of the family at every density, to "
        f"{whole_percent(fit.std_deviation)} (sigma)."
    )
    say(f"- {_chosen(answer)[0]}")
    for rewind, result in results.items():
        say(f"- {_why(rewind, result)}")
    say(f"\nThe page: {page}. Next: prunescope plan, docs/lab.md, docs/laws.md, docs/choose.md, docs/lens.md")


def _trained(study: Study, path: Path, say: Callable[[str], None], showing: Showing) -> Store:
    """Train what is missing of a study."""
    from prunescope.run import run_study

    store = Store(path, create=True)
    with showing(study.name) as on_event:
        done = run_study(study, store, on_event=on_event)
    if done.unwritable:
        raise PrunescopeError(done.unwritable)
    if done.failures or done.elsewhere:
        raise PrunescopeError(f"not everything was trained: {command('status', path)} tells more")
    took = f" in {done.seconds:.0f} s" if done.networks else ": all were"
    say(f"   {done.networks:,} networks trained{took}")
    return store


def _chosen(answer: Answer) -> list[str]:
    """Say what was chosen, the choice itself first."""
    sure = answer.robust or answer.choice
    lines = [
        f"For an error of at most {answer.max_error:g}: {sure.name} pruned to density {sure.density:.3f}, "
        f"{sure.parameters:,.0f} parameters, meets it in {whole_percent(sure.probability)} of training runs."
    ]
    if answer.unpruned is not None and answer.unpruned_parameters is not None:
        times = answer.unpruned_parameters / sure.parameters
        lines.append(
            f"The smallest unpruned network that meets it is {answer.unpruned.name}, {times:.2g} times as large."
        )
    return lines


def _why(rewind: str, result: LensResult) -> str:
    """Say what pruning does with right labels and with wrong ones, in a sentence."""
    diagnoses = "; ".join(
        f"with {whole_percent(cell.label_noise)} wrong labels, {cell.diagnosis.words}" for cell in result.cells
    )
    return f"Rewinding {REWOUND[rewind]}: {diagnoses}."


def _curves(table: Table) -> Iterator[str]:
    """Draw the error over density of the narrowest and the widest network, with letters."""
    most = table["examples"] == table["examples"].max()
    narrow, wide = float(table["width"].min()), float(table["width"].max())
    yield f"   {'density':>9} {'width ' + format(narrow, 'g'):>10} {'width ' + format(wide, 'g'):>10}"
    for rung in range(0, int(table["rung"].max()) + 1, 2):
        at_rung = most & (table["rung"] == rung)
        first, second = (
            float(np.mean(table["test_error"][at_rung & (table["width"] == width)])) for width in (narrow, wide)
        )
        density = float(np.mean(table["density"][at_rung]))
        low, high = sorted((round(BAR * first), round(BAR * second)))
        bar = " " * low + ("*" if low == high else "w" + " " * (high - low - 1) + "n")
        yield f"   {density:9.4f} {first:10.3f} {second:10.3f}  |{bar}"
    yield "   (n: narrow, w: wide, *: both)"
