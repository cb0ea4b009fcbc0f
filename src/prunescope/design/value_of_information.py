"""The value of a measurement: how much nearer it brings the decision to the truly smallest network.

The decision is a member and a density. Its loss, given a truth, is how many times larger than the smallest
possible the chosen member would have to be, and how far off its density is, both as logarithms. The value of a
measurement is the loss that it saves on average over draws of the posterior (the knowledge gradient).

A member that misses the bound costs more than one that is somewhat too large. So what decides is the mean of the
posterior and how likely each member is to miss the bound unpruned: by the mean alone, a measurement that brings a small
member near the bound would seem to do harm, and nothing would be worth measuring.

Before a decision `check_forms` tells whether it stands under either form of the law. The posterior takes Eq. 2 for
true, up to its corners, and a shift and small departures of each cell. Where the curves have another shape, it is sure
of a wrong density. So the paper's and the tilted form are fitted to what was trained, as `choose` does, and the loss of
the decision is stated under both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from prunescope.choose.cell_noise import LEAST_LEFT
from prunescope.choose.family import Grid, fit_families
from prunescope.choose.smallest import MemberSizes, smallest_member
from prunescope.choose.unpruned import Place
from prunescope.design.cornered_law import CORNERED
from prunescope.design.posterior import THETA, Integers, Numbers, Posterior, Rows
from prunescope.errors import PrunescopeError
from prunescope.laws.data import Points
from prunescope.laws.estimators import FORMS_OF_FAMILIES
from prunescope.laws.shared_examples import UNKNOWN_EXAMPLES, SharedExamples
from prunescope.table import read_table

TRUTHS = 256
# Draws for a probability to a percent or two.
NETWORKS = 8192
# Loss of a choice that cannot meet the bound, and the cap of any other loss.
WORST = float(np.log(10.0))
# Between which log densities needed ones are told apart, where it matters whether they exceed 0.
NEAR_DENSE = (-2.0, 1.0)
# A logistic curve this steep is the normal distribution to one percent.
NORMAL_SLOPE = 1.702


@dataclass(frozen=True)
class Question:
    """The decision to make.

    Attributes
    ----------
    bound
        The highest allowed error.
    sizes
        The members to choose from.
    cell
        The cell of each member.
    lowest
        The lowest log density of each member.
    shared_examples
        The test examples that all networks share.
    """

    bound: float
    sizes: MemberSizes
    cell: Integers
    lowest: Numbers
    shared_examples: SharedExamples = UNKNOWN_EXAMPLES

    def reach(self, z: Numbers, scatter: Numbers | None = None) -> Numbers:
        """Return the log density that each member needs, by each ``z``: ``[truths, members]``.

        Above 0 where not even all weights do, and infinity where no number of weights would.

        Parameters
        ----------
        scatter
            By how much log errors of single networks exceed the law's, ``[truths, 1]``.
        """
        count = (z.shape[1] - THETA) // 2
        unpruned, dense = z[:, THETA : THETA + count][:, self.cell], np.zeros(len(self.sizes))
        points = Points(dense, unpruned, dense, np.log(self.sizes.depth), np.log(self.sizes.width))
        most = np.inf if self.bound > 1 else 1.0  # of an error; other outcomes go higher
        bound = self.bound if scatter is None else np.minimum(self.bound * np.exp(-scatter), most)
        needed = CORNERED.log_density(z[:, :THETA], bound, points)
        return np.where(np.isnan(needed), np.inf, needed + z[:, THETA + count :][:, self.cell])

    def densities(self, z: Numbers, scatter: Numbers | None = None) -> Numbers:
        """Return the same, infinity where not even all weights do, and no lower than allowed."""
        reach = self.reach(z, scatter)
        return np.maximum(np.where(reach > 0, np.inf, reach), self.lowest)

    def decided(self, reach: Numbers, doubt: Numbers) -> tuple[Integers, Numbers]:
        """Return the members chosen, -1 for none, and their log densities.

        Parameters
        ----------
        reach
            What members are expected to need, ``[decisions, members]``.
        doubt
            The standard deviation that this leaves open, by member.
        """
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            missing = 1 / (1 + np.exp(-NORMAL_SLOPE * reach / doubt))
        missing = np.where(doubt > 0, missing, reach > 0)
        needed = np.clip(reach, self.lowest, 0.0)
        score = np.where(missing > 0.5, np.inf, np.log(self.sizes.parameters(needed)) + WORST * missing)
        member = smallest_member(score)
        return member, np.take_along_axis(needed, np.maximum(member, 0)[:, None], axis=1)[:, 0]


@dataclass(frozen=True)
class Decision:
    """A decision: which of a question's members, -1 for none, and its log density."""

    member: int
    log_density: float

    @staticmethod
    def by(question: Question, posterior: Posterior) -> Decision:
        """Return what a posterior decides."""
        member, log_density = TruthSample.of(question, posterior).decided(posterior)
        return Decision(int(member[0]), float(log_density[0]))

    @staticmethod
    def sure(question: Question, networks: Numbers, probability: float) -> Decision:
        """Return the smallest network that meets the bound with a probability when newly trained.

        Parameters
        ----------
        networks
            As `new_networks` returns.
        """
        needed = np.quantile(networks, probability, axis=0, method="inverted_cdf")
        member = int(smallest_member(question.sizes.parameters(needed)))
        return Decision(member, float(needed[max(member, 0)]))

    def keeps(self, networks: Numbers) -> float:
        """Return the probability that a newly trained network meets the bound."""
        return float(np.mean(networks[:, self.member] <= self.log_density)) if self.member >= 0 else 0.0


def new_networks(question: Question, posterior: Posterior, seed: int = 0) -> Numbers:
    """Draw the log density that newly trained networks of each member need, ``[draws, members]``."""
    random = np.random.default_rng([seed, 2])
    of_one = float(question.shared_examples.own_noise(question.bound))
    noise = np.sqrt(max(posterior.noise**2 - of_one**2, LEAST_LEFT * posterior.noise**2))
    scatter = np.hypot(noise, posterior.departure)
    off = np.hypot(scatter, question.shared_examples.noise(question.bound)) * random.standard_normal((NETWORKS, 1))
    return question.densities(posterior.draws(NETWORKS, seed), off)


@dataclass(frozen=True)
class TruthSample:
    """Draws of the posterior, and the loss of decisions under each.

    Attributes
    ----------
    truths
        ``[truths, z]``.
    needed
        The log density that each member needs, by each truth.
    spread
        The variance of that, as far as it tells whether members miss the bound.
    log_size
        The logarithm of the parameters of each member, by each truth.
    best
        The smallest of them.
    """

    question: Question
    truths: Numbers
    needed: Numbers
    spread: Numbers
    log_size: Numbers
    best: Numbers

    @staticmethod
    def of(question: Question, posterior: Posterior, count: int = TRUTHS, seed: int = 0) -> TruthSample:
        """Draw truths from a posterior."""
        truths = posterior.draws(count, seed)
        reach = question.reach(truths)
        needed = np.maximum(np.where(reach > 0, np.inf, reach), question.lowest)
        log_size = np.log(question.sizes.parameters(needed))
        return TruthSample(question, truths, needed, _spread(reach), log_size, log_size.min(axis=1))

    def decided(self, posterior: Posterior) -> tuple[Integers, Numbers]:
        """Return the decision of the posterior that these truths were drawn from, as `Question.decided` does."""
        return self.question.decided(self.question.reach(posterior.mean[None]), np.sqrt(self.spread))

    def losses(self, member: Integers, log_density: Numbers) -> Numbers:
        """Return the loss of decisions, one for each truth."""
        rows = np.arange(len(self.truths))
        chosen = np.maximum(member, 0)
        with np.errstate(invalid="ignore"):
            excess = self.log_size[rows, chosen] - self.best
            off = np.abs(log_density - self.needed[rows, chosen])
            loss = np.minimum(excess, WORST) + np.minimum(off, WORST)
        impossible = ~np.isfinite(self.best)
        wrong = (member < 0) | ~np.isfinite(self.log_size[rows, chosen])
        return np.asarray(np.where(impossible, np.where(member < 0, 0.0, WORST), np.where(wrong, WORST, loss)))

    def loss(self, posterior: Posterior) -> float:
        """Return the loss to expect of what the posterior that these truths were drawn from decides."""
        member, density = self.decided(posterior)
        shape = len(self.truths)
        return float(self.losses(np.broadcast_to(member, shape), np.broadcast_to(density, shape)).mean())

    def loss_after(self, means: Numbers) -> float:
        """Return the loss to expect of decisions after a measurement: by its outcome for each truth, ``[truths, z]``.

        What outcomes do not tell of the truths' spread is left open.
        """
        reach = self.question.reach(means)
        doubt = np.sqrt(np.maximum(self.spread - _spread(reach), 0.0))
        return float(self.losses(*self.question.decided(reach, doubt)).mean())


def _spread(reach: Numbers) -> Numbers:
    """Return the variance of needed log densities, by member."""
    return np.asarray(np.clip(reach, *NEAR_DENSE).var(axis=0))


def loss_after(sample: TruthSample, posterior: Posterior, where: Integers, root: Numbers, chance: Numbers) -> float:
    """Return the expected loss after measurements, over their possible outcomes."""
    return sample.loss_after(posterior.means_after(sample.truths, where, root, chance))


STARTS = 8


@dataclass(frozen=True)
class FormCheck:
    """What each form of the law says that members need: log densities ``[members]`` by the name of the form."""

    question: Question
    needed: Mapping[str, Numbers]

    def losses(self, decision: Decision) -> dict[str, float]:
        """Return the loss of a decision under each form, as a logarithm."""
        return {name: self._loss(decision, needed) for name, needed in self.needed.items()}

    def _loss(self, decision: Decision, needed: Numbers) -> float:
        size = np.log(self.question.sizes.parameters(needed))
        if decision.member < 0 or not np.isfinite(needed[decision.member]):
            return 0.0 if decision.member < 0 and not np.isfinite(needed).any() else WORST
        off = abs(decision.log_density - float(needed[decision.member]))
        return float(min(WORST, size[decision.member] - size.min()) + min(WORST, off))


def check_forms(question: Question, place: Place, rows: Rows, classes: int | None) -> FormCheck | None:
    """Fit both forms to what was trained; None where that is too little."""
    sizes = question.sizes
    if not len(rows):
        return None
    columns = {
        "depth": place.depth[rows.cell].astype(np.int64),
        "width": place.width[rows.cell],
        "examples": place.examples[rows.cell].astype(np.int64),
        "density": np.minimum(np.exp(rows.log_density), 1.0),
        "error": np.exp(rows.log_error),
    }
    examples = int(place.examples[question.cell[0]])
    grid = Grid(examples=examples, table={"depth": sizes.depth.astype(np.int64), "width": sizes.width})
    needed = {}
    try:
        table = read_table(columns)
        for form in FORMS_OF_FAMILIES:
            settings = {"form": form, "intervals": "none", "starts": STARTS, "classes": classes}
            families, _, _ = fit_families(table, grid, settings, extrapolate=True)
            densities = families[0].likeliest.needed(question.bound)[0]
            needed[form] = np.where(densities > 0, np.inf, np.maximum(densities, question.lowest))
    except PrunescopeError:
        return None
    return FormCheck(question, needed)
