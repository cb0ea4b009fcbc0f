"""Which finished networks lack outcomes on training examples that the lens would look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prunescope.lens.cell_query import CellQuery, sorted_cells
from prunescope.lens.cells import Measurements
from prunescope.lens.loading import LensSource, open_source
from prunescope.lens.rung_curves import dense_spread, rung_curve, sparsest_better
from prunescope.study.sections import GROUP

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
