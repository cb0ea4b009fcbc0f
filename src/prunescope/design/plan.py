"""What a plan is: the decision as it stands, and the ladders that would settle it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from prunescope.choose.results import Member
from prunescope.study import Ladder, Study


@dataclass(frozen=True)
class Proposal(Member):
    """A ladder to train, or to climb on.

    Attributes
    ----------
    replicate, count
        Which repetition, from 0, and how many from there on are trained along with it.
    after, top
        The rung that is finished already (-1: none), and the one to climb to.
    density
        Of the one to climb to.
    cost
        In the unit of the plan.
    off
        How far off the decision is expected to be once this and all before it is trained (0.1: 10 %).
    """

    depth: int | None
    width: float | None
    examples: int | None
    replicate: int
    count: int
    after: int
    top: int
    density: float
    cost: float
    off: float


@dataclass(frozen=True)
class NamedNetwork:
    """A network that a decision may name.

    Attributes
    ----------
    member, density
        Which member of the family, and how sparse.
    probability
        How likely it is believed to be that it keeps the bound, newly trained.
    """

    member: str
    density: float
    probability: float

    def __str__(self) -> str:
        return f"{self.member} at density {self.density:.2g}"


@dataclass(frozen=True)
class DesignPlan:
    """What to train next.

    Attributes
    ----------
    pick
        What a decision by what is believed now would choose; None where no member is expected to keep the bound.
    sure
        The smallest network that is believed to keep the bound as surely as was asked, newly trained; None where no
        member does.
    confidence
        How surely that was.
    seen
        Whether a network like `pick` was trained: of that member, about as sparse or as sparse as may be. Where no
        member is picked: whether the one that is expected to err least was trained, unpruned.
    off
        How far off a decision by what is measured now is expected to be: how many times larger than the smallest
        possible the chosen member comes out, and how wrong its density is, together (0.1: 10 %).
    enough
        Below this the plan ends: more training would hardly change the answer.
    proposals
        In the order of their worth.
    cost, whole
        Of the proposals; of all that may be trained. In seconds if `unit` says so.
    study
        A study that trains the proposals; None where nothing says how networks are trained.
    """

    max_error: float
    pick: NamedNetwork | None
    sure: NamedNetwork | None
    confidence: float
    seen: bool
    off: float
    enough: float
    proposals: tuple[Proposal, ...]
    cost: float
    whole: float
    unit: str
    study: Study | None
    ladders: tuple[Ladder, ...]

    @property
    def decided(self) -> bool:
        """Whether more training would hardly change the answer, and the network that it names was looked at."""
        return self.off <= self.enough and self.seen

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        names = ("max_error", "confidence", "seen", "off", "enough", "decided", "cost", "whole", "unit")
        plain = {name: getattr(self, name) for name in names}
        plain |= {name: asdict(network) if (network := getattr(self, name)) else None for name in ("pick", "sure")}
        plain["proposals"] = [asdict(proposal) for proposal in self.proposals]
        return plain | {"study": self.study.to_mapping() if self.study else None}
