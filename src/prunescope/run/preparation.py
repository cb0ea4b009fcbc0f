"""What a run looks at before it trains: the datasets of its ladders, their scores and their networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from prunescope.data import Dataset
from prunescope.errors import Fault, InputError, clipped, listed
from prunescope.nets import Network, network
from prunescope.prune import score
from prunescope.run.task_runner import dataset_of
from prunescope.study import Cell, Ladder
from prunescope.study.catalogue import ROWS, is_import_path, is_library_name
from prunescope.study.sections import Recipe


def checked_datasets(
    ladders: Sequence[Ladder], data_folder: Path | None, home: Path | None, read: Mapping[str, Dataset], whole: bool
) -> dict[str, Dataset]:
    """Return the datasets of ladders, the whole study's or some; refuse what cannot be trained."""
    _check_scores(ladders)
    used = {ladder.cell.dataset: ladder for ladder in ladders}
    datasets = {
        name: read[name] if name in read else dataset_of(ladder, data_folder, home) for name, ladder in used.items()
    }
    if not ladders:
        return datasets
    cells, recipe = dict.fromkeys(cell for ladder in ladders for cell in _cells(ladder)), ladders[0].recipe
    outlines = [_check_network(cell, datasets[cell.dataset], recipe).outline for cell in cells]
    unused = [set(outline.strangers(recipe.prunable)) for outline in outlines]
    nowhere = set.intersection(*unused)
    if nowhere and whole:  # other ladders may have the layers that these lack
        names = dict.fromkeys(item.name for outline in outlines for item in outline.parameters if item.matrix)
        hint = f"They have {listed(names, 20)}."
        fault = Fault("recipe.prunable", "must stand for matrices of the networks", listed(sorted(nowhere)), hint)
        raise InputError("the study", [fault])
    return datasets


def _cells(ladder: Ladder) -> Iterator[Cell]:
    """Yield the cells that a ladder's networks belong to."""
    yield ladder.cell
    if ladder.treatment.kind == "narrow":
        yield from (ladder.cell_at(rung) for rung in range(1, ladder.rungs))


def _check_scores(ladders: Sequence[Ladder]) -> None:
    """Refuse scores that nothing here can rank by."""
    for name in dict.fromkeys(ladder.treatment.score for ladder in ladders if ladder.treatment.score):
        score(name)


def _check_network(cell: Cell, data: Dataset, recipe: Recipe) -> Network:
    """Return a network; refuse one that cannot be made, and recipes that do not fit it."""
    any_shape = is_import_path(cell.family) or is_library_name(cell.family)
    if data.shape[:2] == (1, 1) and cell.family not in ROWS and not any_shape:
        must = (
            f"must hold pictures for {cell.family}; rows of features are for {' and '.join(ROWS)} or a family of yours"
        )
        raise InputError("the study", [Fault(f"dataset {cell.dataset}", must)])
    net = network(cell.family, cell.depth, cell.width, data.classes, data.shape)
    if not net.outline.prunable(recipe.prunable):
        must = f"must leave {cell.family} layers to prune"
        raise InputError("the study", [Fault("recipe.prunable", must, clipped(recipe.prunable))])
    if recipe.augment != "none" and not net.pictures:
        must = f"must be none for {cell.family}, which takes pictures as rows"
        raise InputError("the study", [Fault("recipe.augment", must, recipe.augment)])
    return net
