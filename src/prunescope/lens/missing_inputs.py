"""Missing inputs of a cell: why they are missing, and what produces them; and finished networks that lack outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prunescope.errors import command, counted, listed
from prunescope.lens.cell_query import CellQuery, sorted_cells
from prunescope.lens.cells import Measurements
from prunescope.lens.comparisons import LeaveOut, TreatmentComparison
from prunescope.lens.loading import LensSource, open_source
from prunescope.lens.rung_curves import Curve, dense_spread, rung_curve, sparsest_better
from prunescope.lens.sparsity import Sparsity
from prunescope.lens.store_contents import EL2N
from prunescope.study.paper_figures import KEYS
from prunescope.study.sections import GROUP


@dataclass(frozen=True)
class Missing:
    """A missing input: what, why, and how to get it."""

    what: str
    why: str
    how: str

    @property
    def words(self) -> str:
        """The whole as a sentence."""
        return f"{self.what}: {self.why}; {self.how}" if self.how else f"{self.what}: {self.why}"


_AGAIN = "then run the study again: finished rungs stay"
_UNFINISHED = "the study asks for it: let its run finish, or run it again"
_TREATMENTS = {
    "extended": f"add a treatment with {KEYS['extended']}",
    "narrow": f"add a treatment with {KEYS['narrow']}",
    "leave-out": f'add treatments with {KEYS["improved"]}, and "random" beside it',
}
_AGAIN_RECORDED = "in a new store: finished rungs are not trained again for it"
_NAMES = {
    "extended": "extended dense training",
    "narrow": "width down-scaling",
    "leave-out": "training without what pruning improved",
}


def find_missing(
    source: LensSource,
    main: Sequence[Measurements],
    pruning: Curve,
    sparsities: Sequence[Sparsity],
    extended: TreatmentComparison | None,
    narrow: TreatmentComparison | None,
    left_out: Sequence[LeaveOut],
) -> Iterator[Missing]:
    """Yield the missing inputs of one cell."""
    recorded = main[0].ladder in source.studies.recorded
    if len(main) == 1:
        how = "record Recorder(..., replicate=1) too" if recorded else f"set replicates = 3 in the study, {_AGAIN}"
        yield Missing("verdicts", "they compare replicates, and there is one", how)
    if all(ladder.dense is None for ladder in main):
        yield Missing("dense networks", f"{pruning.treatment} has no rung 0 at density 1", "")
    if not any(point.rung for point in pruning.points):
        further = "prune further: levels in the recipe"
        how = _UNFINISHED if any(ladder.planned > 1 for ladder in main) else further
        if recorded:
            how = "let the loop finish, or give the recorder more levels"
        yield Missing("sparse networks", f"{pruning.treatment} has its dense networks alone so far", how)
    elif pruning.optimal is None:
        how = f"set {KEYS['validation']}; that trains on fewer examples, so networks are trained anew"
        if recorded:
            how = f"hold examples out and call rung.record(validation_error=...), {_AGAIN_RECORDED}"
        yield Missing("the optimal sparsity", "it has the lowest validation error, and no row has one", how)
    if not any(point.train_loss for point in pruning.points):
        how = f"call rung.record(train_loss=...), {_AGAIN_RECORDED}" if recorded else ""
        yield Missing("training loss", "no row has a train_loss", how)
    if main[0].label_noise > 0 and not any(point.train_loss_noisy for point in pruning.points):
        how = f"call rung.record(train_loss_original=..., train_loss_noisy=...), {_AGAIN_RECORDED}" if recorded else ""
        yield Missing("noisy against original examples", "no row has train_loss_original and train_loss_noisy", how)
    yield from _examples(source, main, sparsities, recorded)
    yield from _scores(source, main, recorded)
    compared = (
        ("extended", extended.curve.replicates if extended else ()),
        ("narrow", narrow.curve.replicates if narrow else ()),
        ("leave-out", [name for comparison in left_out for name in comparison.test_error.replicates]),
    )
    for kind, replicates in compared:
        if recorded and kind != "extended":
            continue  # studies alone have these treatments
        if not set(replicates) & set(pruning.replicates):
            yield _treatment(source, main, kind, recorded)


def _examples(
    source: LensSource, main: Sequence[Measurements], sparsities: Sequence[Sparsity], recorded: bool
) -> Iterator[Missing]:
    """Yield which outcomes of single examples were not kept, at the analyzed sparsities."""
    if not sparsities:
        return
    rungs = sorted({0, *(sparsity.rung for sparsity in sparsities)})
    what = "groups by EL2N and single examples"
    if source.store is None:
        yield Missing(what, "a table has rows alone", "look at the store that the rows come from")
        return
    lacking: dict[tuple[str, ...], list[int]] = {}
    for rung in rungs:
        names = tuple(
            ladder.replicate
            for ladder in main
            if ladder.at(rung) and not source.store.has_arrays("examples", ladder.ladder, rung)
        )
        if names:
            lacking.setdefault(names, []).append(rung)
    for names, without in lacking.items():
        place = f"{'rung' if len(without) == 1 else 'rungs'} {listed(without)} of replicates {listed(names)}"
        how = f"{command('outcomes', source.store.path)} makes them; keep_examples in a study keeps them from the start"
        if recorded:
            how = f"call rung.record(examples=(index, loss, correct)), {_AGAIN_RECORDED}"
        yield Missing(what, f"outcomes on the training examples of {place} were not kept", how)


def _scores(source: LensSource, main: Sequence[Measurements], recorded: bool) -> Iterator[Missing]:
    without = [ladder.replicate for ladder in main if not ladder.scorers]
    if source.store is not None and without:
        why = f"the examples of replicates {listed(without)} are not scored"
        planned = (main[0].network, main[0].label_noise, EL2N) in source.studies.planned
        how = _UNFINISHED if planned else f"add {KEYS['el2n']} to the study, {_AGAIN}"
        if recorded:
            how = "call recorder.score_examples(index, el2n, networks=10, epoch=10), at any time"
        yield Missing("groups by EL2N", why, how)


def _treatment(source: LensSource, main: Sequence[Measurements], kind: str, recorded: bool) -> Missing:
    """Say that a treatment is missing, or why it is not comparable."""
    first = main[0]
    alike = [ladder for ladder in source.alike(kind, first) if ladder.treatment.leave != GROUP]
    recipes = sorted({str(ladder.network.recipe) for ladder in alike} - {str(first.network.recipe)})
    same_recipe = [ladder for ladder in alike if ladder.network.recipe == first.network.recipe]
    if same_recipe:
        names = (
            f"{listed(ladder.replicate for ladder in same_recipe)}, not {listed(ladder.replicate for ladder in main)}"
        )
        why = f"it was measured for replicates {names}: seeds, splits and labels differ, so there are no pairs"
    elif recipes:
        differing = source.studies.differing(str(first.network.recipe), recipes[0])
        why = f"it was measured with another recipe ({differing}), which is not comparable"
    else:
        why = "it was not measured"
        if (first.network, first.label_noise, kind) in source.studies.planned:
            return Missing(_NAMES[kind], why, _UNFINISHED)
    if recorded:
        how = f'climb Recorder(..., treatment="{kind}") too, into the same store with all else alike'
        return Missing(_NAMES[kind], why, how)
    return Missing(_NAMES[kind], why, f"{_TREATMENTS[kind]}, {_AGAIN}")


def describe_cell(main: Sequence[Measurements], pruning: Curve, sparsest: Sparsity | None) -> Iterator[str]:
    """Yield the notes of a cell."""
    unfinished: dict[str, list[str]] = {}
    for ladder in main:
        if ladder.planned > len(ladder.rows):
            unfinished.setdefault(f"{len(ladder.rows)} of {ladder.planned} rungs", []).append(ladder.replicate)
    for words, names in unfinished.items():
        yield f"{pruning.treatment} is at {words} so far in {counted(len(names), 'replicate')} ({listed(names)})"
    if len(pruning.complete) < len(pruning.replicates):
        others = counted(len(pruning.points), "rung")
        which = f"which have all {others} that any has, with validation errors"
        yield f"the optimal sparsity is by replicates {listed(pruning.complete)}, {which}"
    if pruning.optimal is not None and pruning.points[0].rung == 0:
        dense, best = (pruning.at(rung).validation_error for rung in (0, pruning.optimal))
        if dense and best and dense.mean <= best.mean:
            yield (
                f"the dense network validates as well as any sparse one ({dense.mean:.4g} beside {best.mean:.4g}): the "
                "optimal sparsity is the best of the sparse ones"
            )
    if sparsest is None and any(point.against_dense for point in pruning.points):
        yield "no sparsity beats the dense network on test"
    elif sparsest is not None and sparsest.test_error.deviation is None:
        yield "which sparsity beats the dense network is by errors alone: one replicate gives no verdict"


Network = tuple[str, int]
"""A ladder's identity, and a rung."""


def lacking_outcomes(
    source: Any,
    *,
    noise: Sequence[float] = (),
    cell: Mapping[str, Any] | None = None,
    treatment: str | None = None,
    rungs: Sequence[int] = (),
) -> tuple[Network, ...]:
    """Return the finished networks whose outcomes on training examples the lens lacks.

    Without `rungs` those are: of the main treatment the optimal rung and the sparsest one that beats the dense network,
    of every other treatment its optimal rung, and one dense network for each replicate, whichever treatment it is of.

    Parameters
    ----------
    source
        A store.
    noise, cell
        As for `analyze`.
    treatment
        One treatment alone, and the dense networks that it is compared with.
    rungs
        These rungs, of the main treatment where none is named.
    """
    question = CellQuery(noise, cell or {}, treatment)
    loaded = open_source(source, None, None, question.rows)
    cells = [ladders for ladders in sorted_cells(loaded.ladders) if any(ladder.treatment.prunes for ladder in ladders)]
    wanted = (
        network
        for ladders in (question.select(loaded.name, cells) if cells else ())
        for network in _of_cell(loaded, ladders, question, rungs)
    )
    return tuple(dict.fromkeys(wanted))


def _of_cell(
    source: LensSource, cell: Sequence[Measurements], question: CellQuery, rungs: Sequence[int]
) -> Iterator[Network]:
    """Yield the networks of one cell: sparse ones first, then the dense ones that they are compared with."""
    main, others = question.split(cell)
    ordered = [*main, *others]
    dense = dense_spread(ordered, "test_error")
    names = list(dict.fromkeys(ladder.treatment.name for ladder in ordered if ladder.treatment.leave != GROUP))
    if question.treatment is not None:
        names = [name for name in names if name == question.treatment]
    elif rungs:
        names = names[:1]
    replicates: dict[str, None] = {}
    for name in names:
        ladders = [ladder for ladder in ordered if ladder.treatment.name == name]
        curve = rung_curve(ladders, dense)
        looked_at = {curve.optimal, sparsest_better(curve) if name == main[0].treatment.name else None}
        if ladders[0].treatment.kind == "leave-out":
            looked_at = {0}
        for ladder in ladders:
            for rung in sorted(ladder.rungs & (frozenset(rungs) or looked_at)):
                replicates[ladder.replicate] = None
                if _lacks(source, ladder, rung):
                    yield ladder.ladder, rung
    for replicate in replicates:
        unpruned = [ladder for ladder in ordered if ladder.replicate == replicate and ladder.dense]
        if unpruned and all(_lacks(source, ladder, 0) for ladder in unpruned):
            yield unpruned[0].ladder, 0


def _lacks(source: LensSource, ladder: Measurements, rung: int) -> bool:
    return source.store is not None and not source.store.has_arrays("examples", ladder.ladder, rung)
