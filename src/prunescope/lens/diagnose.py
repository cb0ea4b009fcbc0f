"""Diagnose what pruning to the optimal sparsity does, by the second paper's sections 3 to 5.

Better training (section 3): generalisation improves, and training loss does, on the whole or on the original examples.
Additional regularisation (section 4): generalisation improves while training loss worsens, on the whole, on the noisy
examples, or on the top fifth by EL2N. Both may hold at once, on different examples. Section 5 separates the two
components of pruning: extended training has the first without the second, narrow networks the second without the first.
Their results change the advice, not the name of the effect.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from prunescope.errors import whole_percent
from prunescope.lens.comparisons import TreatmentComparison
from prunescope.lens.sparsity import Sparsity
from prunescope.lens.verdicts import TEST_ERROR, TreatmentOutcome, Verdict, amount


class Effect(StrEnum):
    """The effect of pruning at the optimal sparsity."""

    TRAINING = "better training"
    REGULARISATION = "additional regularisation"
    BOTH = "both"
    NEITHER = "neither"
    UNTOLD = "untold"


@dataclass(frozen=True)
class Diagnosis:
    """What pruning to the optimal sparsity does, the evidence, and the advice.

    Attributes
    ----------
    at_sparsest
        The effect at the highest sparsity that still beats the dense network, if any.
    rests_on
        The evidence, one sentence each.
    practice
        The advice, one sentence each.
    provisional
        Whether the optimal sparsity is the last one trained, so that a further rung may change the diagnosis.
    """

    effect: Effect
    at_sparsest: Effect | None
    rests_on: tuple[str, ...]
    practice: tuple[str, ...]
    provisional: bool
    words: str


_NAMES = {
    Effect.TRAINING: "better training",
    Effect.REGULARISATION: "additional regularisation",
    Effect.BOTH: "better training and additional regularisation, on different examples",
    Effect.NEITHER: "neither: training loss changes nowhere enough",
    Effect.UNTOLD: "no verdict",
}


def diagnose(
    optimal: Sparsity | None,
    sparsest: Sparsity | None,
    extended: TreatmentComparison | None,
    narrow: TreatmentComparison | None,
    noise: float,
    at_end: bool = False,
) -> Diagnosis:
    """Diagnose one cell from its two sparsities of interest and the other treatments.

    Parameters
    ----------
    at_end
        Whether the optimal sparsity is the last one trained.
    """
    beyond = _classify_effect(sparsest) if sparsest else None
    further = (
        [f"at density {sparsest.density:.3g}, the lowest that beats the dense network: {_NAMES[beyond]}"]
        if sparsest and beyond
        else []
    )
    if optimal is None:
        words = "no diagnosis: which sparsity is optimal is not known"
        return Diagnosis(Effect.UNTOLD, beyond, tuple(further), (), False, words)
    effect = _classify_effect(optimal)
    rests_on = (*_figures(optimal, extended, narrow), *further)
    practice = [*_practice(effect, optimal, extended, narrow, noise)]
    words = _words(effect, optimal)
    if at_end:
        practice.insert(0, "the best rung is the last one trained: train further before deciding")
        words += "; provisional"
    return Diagnosis(effect, beyond, rests_on, tuple(practice), at_end, words)


def _classify_effect(sparsity: Sparsity) -> Effect:
    """Classify the effect from the verdicts at one sparsity."""
    if sparsity.test_error.outcome is TreatmentOutcome.UNTOLD:
        return Effect.UNTOLD
    if sparsity.test_error.outcome is not TreatmentOutcome.BETTER:
        return Effect.NEITHER
    if sparsity.train_loss is None and sparsity.train_loss_original is None and sparsity.groups is None:
        return Effect.UNTOLD
    training = _has(TreatmentOutcome.BETTER, sparsity.train_loss, sparsity.train_loss_original)
    top = sparsity.groups.top.top if sparsity.groups else None
    regularisation = _has(TreatmentOutcome.WORSE, sparsity.train_loss, sparsity.train_loss_noisy, top)
    if training and regularisation:
        return Effect.BOTH
    if training:
        return Effect.TRAINING
    return Effect.REGULARISATION if regularisation else Effect.NEITHER


def _has(outcome: TreatmentOutcome, *verdicts: Verdict | None) -> bool:
    return any(verdict is not None and verdict.outcome is outcome for verdict in verdicts)


def _words(effect: Effect, optimal: Sparsity) -> str:
    error = optimal.test_error
    if error.outcome is TreatmentOutcome.UNTOLD:
        return f"no diagnosis of one replicate: test error {error.words}"
    change = amount(TEST_ERROR, error.mean, error.deviation)
    if error.outcome is TreatmentOutcome.MATCHES:
        return f"neither: at its optimal density {optimal.density:.3g} pruning neither gains nor loses ({change})"
    if error.outcome is TreatmentOutcome.WORSE:
        return f"neither: even at its optimal density {optimal.density:.3g} pruning raises test error ({change})"
    if effect is Effect.UNTOLD:
        return f"no diagnosis: pruning lowers test error ({change}), and there is no training loss to say why"
    if effect is Effect.NEITHER:
        return (
            f"neither: pruning lowers test error ({change}), and no change in training loss is large enough to say why"
        )
    return f"{_NAMES[effect]}: at density {optimal.density:.3g} pruning lowers test error ({change})"


def _figures(
    optimal: Sparsity, extended: TreatmentComparison | None, narrow: TreatmentComparison | None
) -> Iterator[str]:
    yield f"test error at the optimal sparsity: {optimal.test_error.words}"
    if optimal.train_loss:
        yield f"training loss there: {optimal.train_loss.words}"
    if optimal.train_loss_original and optimal.train_loss_noisy:
        yield f"training loss of original examples: {optimal.train_loss_original.words}"
        yield f"training loss of noisy examples: {optimal.train_loss_noisy.words}"
    if optimal.gap:
        yield optimal.gap.words
    if optimal.groups:
        top = optimal.groups.top
        share = whole_percent(top.fraction)
        yield f"training loss of the top {share} by EL2N: {top.top.words}; of the rest: {top.rest.words}"
        yield optimal.groups.words
        if optimal.groups.corrected_words:
            yield optimal.groups.corrected_words
    for name, other in (("extended training at its", extended), ("narrow networks at their", narrow)):
        if other and other.best:
            yield f"{name} best compared with pruning at its best: {other.best.words}"


def _practice(
    effect: Effect,
    optimal: Sparsity,
    extended: TreatmentComparison | None,
    narrow: TreatmentComparison | None,
    noise: float,
) -> Iterator[str]:
    outcome = optimal.test_error.outcome
    if outcome is TreatmentOutcome.UNTOLD:
        yield "train two replicates or more before deciding anything"
        return
    if outcome is TreatmentOutcome.MATCHES:
        yield f"prune for size: at density {optimal.density:.3g} it costs no test error"
    elif outcome is TreatmentOutcome.WORSE:
        yield "for test error alone keep the dense network; prune only for size"
    elif effect in (Effect.REGULARISATION, Effect.BOTH):
        if noise > 0:
            yield "labels are noisy: prune, so that wrong labels are not fitted"
        else:
            yield "some examples are better not fitted: look at those that pruning worsens most for wrong labels"
    gains = outcome is TreatmentOutcome.BETTER
    for what, other in (("training as long without pruning", extended), ("a narrower network from the start", narrow)):
        best = other.best if other else None
        if best and (gains or best.outcome is TreatmentOutcome.BETTER) and best.outcome in _INSTEAD:
            yield f"{what} {_INSTEAD[best.outcome]} ({amount(TEST_ERROR, best.mean, best.deviation)})"


_INSTEAD = {
    TreatmentOutcome.WORSE: "is worse than pruning",
    TreatmentOutcome.MATCHES: "cannot be told apart from pruning",
    TreatmentOutcome.BETTER: "does better than pruning",
}
