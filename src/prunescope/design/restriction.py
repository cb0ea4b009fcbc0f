"""Which of very many cells a plan weighs: those that may be the answer, and an even sample of the others.

A posterior over cells takes memory with the square of their number and time with its cube. A member that is expected to
be far larger than the smallest under the bound cannot be the answer; a sample of the other cells tells the law.
"""

from __future__ import annotations

import numpy as np

from prunescope.choose.smallest import Truths, needed_density
from prunescope.choose.unpruned import GaussianProcess
from prunescope.design.cornered_law import CORNERED
from prunescope.design.inputs import DesignInputs
from prunescope.design.posterior import THETA, Integers, Numbers, compute_posterior
from prunescope.design.value_of_information import Question

# Cells that are weighed against each other; of more, a plan takes as many.
MOST_CELLS = 200


def cells_to_weigh(inputs: DesignInputs, question: Question, most: int, guessing: float | None) -> Integers:
    """Return the cells to weigh, in their order: all, unless they are too many.

    Half are an even sample: measured cells first, drawn by a fixed seed. They give a first law and first unpruned
    errors, by which the other half are the members with the fewest expected parameters under the bound.
    """
    count = len(inputs.counts)
    if count <= most:
        return np.arange(count)
    shuffled = np.random.default_rng(0).permutation(count)
    unmeasured = np.ones(count, bool)
    unmeasured[inputs.rows.cell] = False
    sampled = np.sort(shuffled[np.argsort(unmeasured[shuffled], kind="stable")][: most // 2])
    parameters, errors = _expected(inputs, question, sampled, guessing)
    ranked = question.cell[np.lexsort((errors, parameters))]
    nearest = ranked[~np.isin(ranked, sampled)][: most - len(sampled)]
    return np.sort(np.concatenate([sampled, nearest]))


def _expected(
    inputs: DesignInputs, question: Question, sampled: Integers, guessing: float | None
) -> tuple[Numbers, Numbers]:
    """Return the parameters that each member is expected to need under the bound, and its expected unpruned error."""
    sample = inputs.pick(sampled)
    first = compute_posterior(sample.place, sample.rows, guessing)
    shown = np.unique(sample.rows.cell)
    expected = first.mean[THETA : THETA + len(sampled)][shown]
    noise = np.full(len(shown), first.noise)
    smooth = GaussianProcess.through(sample.place.pick(shown), expected, noise)
    unpruned = smooth.mean(inputs.place)
    dense = inputs.rows.log_density > -1e-9
    sums = np.bincount(inputs.rows.cell[dense], inputs.rows.log_error[dense], len(unpruned))
    repeats = np.bincount(inputs.rows.cell[dense], minlength=len(unpruned))
    unpruned = np.where(repeats > 0, sums / np.maximum(repeats, 1), unpruned)[question.cell]
    truths = Truths(first.mean[None, :THETA], unpruned[None], CORNERED)
    needed = np.maximum(needed_density(question.sizes, truths, question.bound)[0], question.lowest)
    return question.sizes.parameters(needed), unpruned
