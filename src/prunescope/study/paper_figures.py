"""Which figures of the two papers a study will be able to draw, and which of its keys the others need.

A figure that has its keys may still show little: a law can only be fitted where errors rise, and no sparsity needs to
beat the dense network.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from prunescope.study.sections import GROUP, PRUNING, Treatment, pruning_rank
from prunescope.study.study import Study

LAW_LEVELS = 3  # Eq. 1 has three parameters about density
MEMBERS_FOR_TRIALS = 4  # fits to part of the members need some to leave out

KEYS = {
    "prunes": 'kind = "imp" with levels above 0',
    "law": f'kind = "imp" with levels of {LAW_LEVELS} or more',
    "shapes": "several depths or widths",
    "members": "several depths, widths or examples",
    "trials": f"{MEMBERS_FOR_TRIALS} or more depths, widths or examples",
    "noise": "label_noise above 0",
    "validation": "validation = 0.1 in the recipe",
    "el2n": "a section [el2n]",
    "outcomes": 'keep_examples = "all"',
    "outcomes of all": 'keep_examples = "all"',
    "extended": 'kind = "extended"',
    "narrow": 'kind = "narrow"',
    "ways": "a second rewind or score",
    "others": "a second treatment",
    "improved": 'kind = "leave-out" with leave = "improved"',
    "misclassified": 'kind = "leave-out" with leave = "misclassified"',
    "worsened": 'kind = "leave-out" with leave = "worsened"',
    GROUP: f'kind = "leave-out" with leave = "{GROUP}"',
}
"""What a figure or a comparison may need, as the key of a study that produces it."""

FIRST, SECOND = "first", "second"
_GROUPS = ("prunes", "el2n", "outcomes")
_FIGURES: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (FIRST, "Fig. 1", "three-regions", ("law",)),
    (FIRST, "Fig. 2", "estimated-against-actual", ("law",)),
    (FIRST, "Fig. 3", "contours-of-error", ("law", "shapes")),
    (FIRST, "Fig. 4", "error-by-invariant", ("law", "members")),
    (FIRST, "Fig. 5", "estimated-against-actual", ("law", "members")),
    (FIRST, "Fig. 6", "how-many-measurements", ("law", "trials")),
    (FIRST, "Fig. 7", "forms-compared", ("law",)),
    (FIRST, "Fig. 8", "error-by-parameters", ("law",)),
    (SECOND, "Fig. 1", "loss-by-el2n", (*_GROUPS, "validation")),
    (SECOND, "Fig. 2", "loss-by-el2n", _GROUPS),
    (SECOND, "Fig. 3", "error-under-label-noise", ("prunes", "noise")),
    (SECOND, "Fig. 4", "training-loss-by-density", ("prunes", "noise")),
    (SECOND, "Fig. 5", "loss-by-el2n", (*_GROUPS, "noise")),
    (SECOND, "Fig. 6", "pruning-beside-extended-training", ("prunes", "extended")),
    (SECOND, "Fig. 7", "pruning-beside-narrower-networks", ("prunes", "narrow")),
    (SECOND, "App. C, J", "other-ways-of-pruning", ("prunes", "ways")),
    (SECOND, "App. D", "trained-without-some-examples", ("prunes", "improved")),
    (SECOND, "App. E", "trained-without-some-examples", ("prunes", "misclassified", "noise")),
    (
        SECOND,
        "App. I",
        "loss-by-el2n-of-other-treatments",
        ("prunes", "others", "el2n", "outcomes of all", "validation"),
    ),
    (SECOND, "App. K.1", "examples-changed-most", ("prunes", "outcomes", "validation")),
    (SECOND, "App. K.2", "trained-without-some-examples", ("prunes", "worsened")),
    (SECOND, "App. L", "loss-by-el2n-over-sparsities", _GROUPS),
    (SECOND, "influence", "influence-by-el2n", ("prunes", "el2n", GROUP)),
)


@dataclass(frozen=True)
class PlannedFigure:
    """One figure of a paper.

    Attributes
    ----------
    paper
        ``first`` or ``second``.
    item
        What the paper calls it; ``influence`` is the check of what it assumes of EL2N.
    figure
        The file that `prunescope report --figures` writes.
    missing
        The keys that the study lacks for it; empty where it can be drawn.
    """

    paper: str
    item: str
    figure: str
    missing: tuple[str, ...]


def paper_figures(study: Study) -> tuple[PlannedFigure, ...]:
    """Return the figures of both papers, each with what the study lacks for it."""
    there = set(_inputs(study))
    return tuple(
        PlannedFigure(paper, item, figure, tuple(dict.fromkeys(KEYS[need] for need in needs if need not in there)))
        for paper, item, figure, needs in _FIGURES
    )


def _inputs(study: Study) -> Iterator[str]:
    """Yield what a study has, by the names of `KEYS`."""
    pruning = [treatment for treatment in study.treatments if treatment.kind in PRUNING]
    levels = max(itertools.chain(*study.extent.values()), default=0) if pruning else 0
    if levels:
        yield "prunes"
    if levels >= LAW_LEVELS:
        yield "law"
    yield from _variation(study)
    if any(cell.label_noise for cell in study.cells):
        yield "noise"
    if study.recipe.validation or all(ladder.facts.validation for ladder in study.ladders):
        yield "validation"
    if study.el2n is not None:
        yield "el2n"
    everything = _keeps_everything(study, levels)
    if everything or (pruning and study.teaches(min(pruning, key=_rank))):
        yield "outcomes"  # those that others learn from keep theirs
    if everything:
        yield "outcomes of all"
    if len(pruning) > 1:
        yield "ways"
    kinds = {treatment.kind for treatment in study.treatments}
    if len(pruning) > 1 or kinds & {"extended", "narrow", "leave-out"}:
        yield "others"
    yield from kinds & {"extended", "narrow"}
    yield from (treatment.leave for treatment in study.treatments if treatment.leave)


def _variation(study: Study) -> Iterator[str]:
    """Yield what varies within one family on one dataset at one level of label noise."""
    alike = [(cell.family, cell.dataset, cell.label_noise) for cell in study.cells]
    members = max(Counter(alike).values(), default=0)
    shapes = {(*key, cell.examples, cell.depth, cell.width) for key, cell in zip(alike, study.cells, strict=True)}
    if max(Counter(shape[:4] for shape in shapes).values(), default=0) > 1:
        yield "shapes"
    if members > 1:
        yield "members"
    if members >= MEMBERS_FOR_TRIALS:
        yield "trials"


def _keeps_everything(study: Study, levels: int) -> bool:
    keep = study.keep_examples
    return keep == "all" if isinstance(keep, str) else set(keep) >= set(range(levels + 1))


def _rank(treatment: Treatment) -> tuple[int, ...]:
    return pruning_rank(treatment.kind, treatment.rewind, treatment.score, treatment.scope)
