"""What the lens sees: frozen and typed, numbers with a sentence each, plain values on request.

    Look -> cells: CellLook, one for each label noise of each network
              pruning: Curve              error and losses by density, over replicates      (Figures 3 and 4)
              optimal, sparsest, asked: Sparsity    sparse beside dense at one density
                  groups: Groups          loss differences by EL2N, and the share of the top   (Figures 1b, 2 and 5)
                  gap: Gap                noisy against original examples
                  extremes: Extremes      single examples, for each replicate
              extended, narrow, ablations: Beside   other treatments beside pruning         (Figures 1a, 6 and 7)
              leave_outs: LeaveOut        dense networks without some of the examples
              diagnosis: Diagnosis        better training, additional regularisation, both or neither
              missing: Missing            what could not be told, and the key of the study that would have it told

Errors are shares, losses are nats; "better" is lower everywhere. Pairs are of one replicate: same examples and labels.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from prunescope.notebook import table_html


class TreatmentOutcome(StrEnum):
    """How one result compares with another, by the paper's rule."""

    BETTER = "better"
    WORSE = "worse"
    MATCHES = "matches"
    UNTOLD = "untold"


class Effect(StrEnum):
    """What pruning at the optimal sparsity does to training."""

    TRAINING = "better training"
    REGULARISATION = "additional regularisation"
    BOTH = "both"
    NEITHER = "neither"
    UNTOLD = "untold"


@dataclass(frozen=True)
class Spread:
    """One quantity over replicates.

    Attributes
    ----------
    replicates
        Names of the replicates, in the order of `values`.
    deviation
        Sample standard deviation (n - 1); None of a single replicate.
    """

    replicates: tuple[str, ...]
    values: tuple[float, ...]
    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Verdict:
    """Two results compared replicate by replicate: the first minus the second.

    Attributes
    ----------
    measure
        What is compared, such as ``test error``.
    outcome
        ``better`` or ``worse`` where the mean difference is at least one standard deviation away from zero, ``matches``
        where it is not, ``untold`` of a single pair.
    differences
        By replicate; their mean and sample standard deviation are `mean` and `deviation`.
    """

    measure: str
    outcome: TreatmentOutcome
    replicates: tuple[str, ...]
    differences: tuple[float, ...]
    mean: float
    deviation: float | None
    words: str


@dataclass(frozen=True)
class Point:
    """One rung of a treatment, over the replicates that have it.

    Attributes
    ----------
    epochs
        Epochs trained up to and including this rung; of narrow networks their own. None where the table does not tell.
    against_dense
        Test error compared with the dense network of the replicate; None at rung 0.
    """

    rung: int
    density: float
    parameters: float | None
    width: float | None
    epochs: int | None
    test_error: Spread
    validation_error: Spread | None
    train_loss: Spread | None
    train_loss_original: Spread | None
    train_loss_noisy: Spread | None
    against_dense: Verdict | None


@dataclass(frozen=True)
class Curve:
    """One treatment of a cell, rung by rung.

    Attributes
    ----------
    treatment
        Name of the treatment: its kind and what it departs from the usual in.
    optimal
        The rung above 0 with the lowest mean validation error, of equals the one with the most weights; None without
        validation errors.
    own_optimal
        The same for each replicate by itself, in the order of `replicates`.
    complete
        The replicates that have every rung that any has: `optimal` is by their mean.
    """

    treatment: str
    kind: str
    replicates: tuple[str, ...]
    complete: tuple[str, ...]
    points: tuple[Point, ...]
    optimal: int | None
    own_optimal: tuple[int | None, ...]

    def at(self, rung: int) -> Point:
        """Return the point of a rung that is there."""
        return next(point for point in self.points if point.rung == rung)


@dataclass(frozen=True)
class ExampleGroup:
    """Training examples within a range of EL2N percentiles, lowest scores first.

    Attributes
    ----------
    low, high
        Percentiles.
    size
        Examples, in the first replicate.
    dense_loss, sparse_loss
        Mean training loss.
    difference
        Sparse minus dense, compared.
    """

    number: int
    low: float
    high: float
    size: int
    el2n: Spread
    dense_loss: Spread
    sparse_loss: Spread
    difference: Verdict


@dataclass(frozen=True)
class Top:
    """The fifth of the examples with the highest EL2N against the rest.

    Attributes
    ----------
    fraction
        Of the examples that are the top.
    times
        Mean magnitude of the loss difference over the top examples, divided by that over the rest; None where the rest
        does not change at all.
    share
        Share of the sum of all magnitudes that falls on the top; None where nothing changes.
    top, rest
        Mean loss difference, sign and all, compared with zero.
    """

    fraction: float
    times: Spread | None
    share: Spread | None
    top: Verdict
    rest: Verdict
    words: str


@dataclass(frozen=True)
class Groups:
    """Loss differences, sparse minus dense, by EL2N.

    Attributes
    ----------
    networks, epoch
        Which networks scored the examples.
    """

    networks: int
    epoch: int
    replicates: tuple[str, ...]
    groups: tuple[ExampleGroup, ...]
    top: Top
    words: str


@dataclass(frozen=True)
class Gap:
    """Training loss of the noisy examples minus that of the original ones."""

    dense: Spread
    sparse: Spread
    difference: Verdict
    words: str


@dataclass(frozen=True)
class Example:
    """One training example under pruning.

    Attributes
    ----------
    index
        Its place in the training set.
    label
        The label trained on, noise included.
    difference
        `sparse_loss` minus `dense_loss`.
    """

    index: int
    label: int
    noisy: bool
    dense_loss: float
    sparse_loss: float
    difference: float
    el2n: float | None


@dataclass(frozen=True)
class Extremes:
    """Of one replicate, the examples whose training loss pruning changes most, the largest change first."""

    replicate: str
    ladder: str
    worsened: tuple[Example, ...]
    improved: tuple[Example, ...]
    noisy_worsened: int
    words: str


@dataclass(frozen=True)
class Sparsity:
    """The sparse networks of one rung beside the dense ones they come from.

    Attributes
    ----------
    which
        ``optimal``: lowest validation error; ``sparsest``: the highest sparsity that beats the dense network on test;
        ``asked``: as asked for.
    train_loss_original, train_loss_noisy, gap
        None without label noise.
    groups, extremes
        None and empty where the store does not hold what they need.
    """

    which: str
    rung: int
    density: float
    parameters: float | None
    test_error: Verdict
    train_loss: Verdict | None
    train_loss_original: Verdict | None
    train_loss_noisy: Verdict | None
    gap: Gap | None
    groups: Groups | None
    extremes: tuple[Extremes, ...]
    words: str


@dataclass(frozen=True)
class Match:
    """A rung of another treatment beside the rung of pruning that stands for the same training or the same size."""

    rung: int
    pruned_rung: int
    difference: Verdict


@dataclass(frozen=True)
class TreatmentComparison:
    """Another treatment beside pruning.

    Attributes
    ----------
    by
        What rungs are matched by: ``rung``, ``parameters`` or ``density``.
    best
        Test error of the treatment at its own optimal rung minus that of pruning at its own; None where one has none.
    matches
        Test error rung by rung.
    """

    curve: Curve
    by: str
    best: Verdict | None
    matches: tuple[Match, ...]
    words: str


@dataclass(frozen=True)
class LeaveOut:
    """Dense networks trained without some of the examples.

    Attributes
    ----------
    leave
        Which: ``improved``, ``misclassified`` or ``random``.
    share
        Share that was to be left out; None where the examples themselves decide or where the table does not tell.
    count
        Examples left out; None where the table does not tell.
    against_dense, against_sparse, against_random
        Test error compared with the teacher's dense network, with its optimally sparse one, and with leaving out as
        many at random.
    """

    treatment: str
    leave: str
    share: float | None
    count: Spread | None
    test_error: Spread
    against_dense: Verdict | None
    against_sparse: Verdict | None
    against_random: Verdict | None
    words: str


@dataclass(frozen=True)
class Diagnosis:
    """What pruning to the optimal sparsity does, what that rests on, and what follows.

    Attributes
    ----------
    at_sparsest
        The effect at the highest sparsity that still beats the dense network, where there is one.
    rests_on
        The figures, a sentence each.
    practice
        What follows, a sentence each.
    """

    effect: Effect
    at_sparsest: Effect | None
    rests_on: tuple[str, ...]
    practice: tuple[str, ...]
    words: str


@dataclass(frozen=True)
class Missing:
    """Something that could not be told: what, why, and how to get it."""

    what: str
    why: str
    how: str

    @property
    def words(self) -> str:
        """The whole as a sentence."""
        return f"{self.what}: {self.why}; {self.how}" if self.how else f"{self.what}: {self.why}"


@dataclass(frozen=True)
class CellResult:
    """One cell under the lens: one network at one level of label noise.

    Attributes
    ----------
    family, dataset, depth, width, examples, recipe
        None where the table does not have the column.
    name
        The cell in words, label noise aside; cells that share it differ in label noise alone.
    pruning
        The main treatment.
    """

    family: str | None
    dataset: str | None
    depth: int | None
    width: float | None
    examples: int | None
    recipe: str | None
    label_noise: float
    name: str
    replicates: tuple[str, ...]
    pruning: Curve
    optimal: Sparsity | None
    sparsest: Sparsity | None
    asked: Sparsity | None
    extended: TreatmentComparison | None
    narrow: TreatmentComparison | None
    ablations: tuple[TreatmentComparison, ...]
    leave_outs: tuple[LeaveOut, ...]
    diagnosis: Diagnosis
    missing: tuple[Missing, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class LensResult:
    """All cells of a store or table under the lens, in the order of networks and of label noise."""

    source: str
    cells: tuple[CellResult, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)

    def _repr_html_(self) -> str:
        """Show the diagnoses in a notebook."""
        rows = ((cell.name, f"{cell.label_noise:g}", cell.diagnosis.words) for cell in self.cells)
        return table_html(("cell", "label noise", "diagnosis"), rows, self.source, self.notes)
