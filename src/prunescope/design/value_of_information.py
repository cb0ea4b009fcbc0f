"""What a measurement is worth: how much nearer it would bring the decision to the truly smallest network.

The decision is a member and a density. Its loss, if a truth were known, is how many times larger than the smallest
possible the chosen member would have to be, and how far off the density is, both as logarithms. A look is worth the
loss that it saves on average over the truths that are believed possible (the knowledge gradient, for a decision).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prunescope.choose.smallest import MemberSizes, Truths, needed_density, smallest_member
from prunescope.design.posterior import THETA, Integers, Numbers, Posterior

TRUTHS = 256
# Draws by which a probability is told to a percent or two.
NETWORKS = 8192
# Loss of a choice that cannot keep the bound at all, and the most that any other is given.
WORST = float(np.log(10.0))


@dataclass(frozen=True)
class Question:
    """What is to be decided.

    Attributes
    ----------
    bound
        The highest error allowed.
    sizes
        The members to choose from.
    cell
        The cell that each member is.
    lowest
        The lowest log density of each member.
    """

    bound: float
    sizes: MemberSizes
    cell: Integers
    lowest: Numbers

    def densities(self, z: Numbers, scatter: Numbers | None = None) -> Numbers:
        """Return the log density that each member needs, by each ``z``: ``[truths, members]``.

        Parameters
        ----------
        scatter
            By how much log errors are above the law's, ``[truths, 1]``: those of single networks.
        """
        count = (z.shape[1] - THETA) // 2
        truths = Truths(z[:, :THETA], z[:, THETA : THETA + count][:, self.cell])
        bound = self.bound if scatter is None else np.minimum(self.bound * np.exp(-scatter), 1.0)
        shifted = needed_density(self.sizes, truths, bound) + z[:, THETA + count :][:, self.cell]
        # What a shift takes beyond density 1 cannot keep the bound.
        return np.maximum(np.where(shifted > 0, np.inf, shifted), self.lowest)

    def decided(self, z: Numbers) -> tuple[Integers, Numbers]:
        """Return the member chosen by each ``z``, -1 for none, and its log density."""
        needed = self.densities(z)
        member = smallest_member(self.sizes.parameters(needed))
        return member, np.take_along_axis(needed, np.maximum(member, 0)[:, None], axis=1)[:, 0]


@dataclass(frozen=True)
class Decision:
    """A decision: which of a question's members, -1 for none, and its log density."""

    member: int
    log_density: float

    @staticmethod
    def by(question: Question, posterior: Posterior) -> Decision:
        """Return what the mean of a posterior decides."""
        member, log_density = question.decided(posterior.mean[None])
        return Decision(int(member[0]), float(log_density[0]))

    @staticmethod
    def sure(question: Question, networks: Numbers, probability: float) -> Decision:
        """Return the smallest network that, newly trained, keeps the bound with a probability.

        Parameters
        ----------
        networks
            Of `new_networks`.
        """
        needed = np.quantile(networks, probability, axis=0, method="inverted_cdf")
        member = int(smallest_member(question.sizes.parameters(needed)))
        return Decision(member, float(needed[max(member, 0)]))

    def keeps(self, networks: Numbers) -> float:
        """Return how likely it is that a newly trained network keeps the bound."""
        return float(np.mean(networks[:, self.member] <= self.log_density)) if self.member >= 0 else 0.0


def new_networks(question: Question, posterior: Posterior, seed: int = 0) -> Numbers:
    """Return the log density that newly trained networks of each member may need, ``[draws, members]``."""
    random = np.random.default_rng([seed, 2])
    off = np.hypot(posterior.noise, posterior.departure) * random.standard_normal((NETWORKS, 1))
    return question.densities(posterior.draws(NETWORKS, seed), off)


@dataclass(frozen=True)
class TruthSample:
    """Truths that are believed possible, and what each makes of a decision.

    Attributes
    ----------
    truths
        ``[truths, z]``.
    needed
        The log density that each member needs, by each truth.
    log_size
        The logarithm of the parameters that each member would come to, by each truth.
    best
        The smallest of them.
    """

    question: Question
    truths: Numbers
    needed: Numbers
    log_size: Numbers
    best: Numbers

    @staticmethod
    def of(question: Question, posterior: Posterior, count: int = TRUTHS, seed: int = 0) -> TruthSample:
        """Draw truths from a posterior."""
        truths = posterior.draws(count, seed)
        needed = question.densities(truths)
        log_size = np.log(question.sizes.parameters(needed))
        return TruthSample(question, truths, needed, log_size, log_size.min(axis=1))

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

    def loss(self, z: Numbers) -> float:
        """Return the loss to expect of deciding by the mean of a posterior, or by means ``[truths, z]``."""
        member, density = self.question.decided(np.atleast_2d(z))
        shape = len(self.truths)
        return float(self.losses(np.broadcast_to(member, shape), np.broadcast_to(density, shape)).mean())


def loss_after(sample: TruthSample, posterior: Posterior, where: Integers, root: Numbers, chance: Numbers) -> float:
    """Return the loss to expect after a look, over what it may show."""
    return sample.loss(posterior.means_after(sample.truths, where, root, chance))
