"""The result of an export, in numbers and in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

from prunescope.export.checkpoint import Card
from prunescope.export.prove import Timing

TITLES = {
    "unpruned": "unpruned",
    "folded": "unpruned, normalisations folded",
    "sparse": "sparse",
    "dense": "dense, cut-off units removed",
    "onnx": "ONNX of the dense one",
}


@dataclass(frozen=True)
class ExportedForm:
    """One form of the network beside the others.

    Attributes
    ----------
    name
        ``unpruned`` and ``folded`` (unpruned, its normalisations within its convolutions) are what the written forms
        ``sparse``, ``dense`` and ``onnx`` are compared with.
    path
        The file; None for forms that are only compared with.
    bytes
        Of the file, or of a file of the form.
    multiply_adds
        Of one example; None for a module of a user's own, whose units are not known.
    timing
        Of one batch; None for ONNX.
    proved_on
        Test examples on which its logits were compared with the original's.
    difference
        The largest difference of a logit.
    changed
        Examples whose prediction differs since their two highest logits are equal to rounding.
    """

    name: str
    path: Path | None
    bytes: int
    multiply_adds: int
    timing: Timing | None
    proved_on: int = 0
    difference: float = 0.0
    changed: int = 0


@dataclass(frozen=True)
class Exported:
    """The result of an export.

    Attributes
    ----------
    words
        Which network it is.
    card
        What the files say of it.
    stored_error
        Its test error in the store; that of the exported network is ``card.test_error``.
    forms
        Those that it is compared with, then those that were written.
    units, units_left
        Between the layers, before and after cut-off ones were removed; both 0 where there is no dense form.
    unread
        Values of a picture that the dense form does not read any more.
    exactness
        The largest difference of a logit in double precision that removing them made.
    batch
        Pictures that were timed at once.
    """

    words: str
    card: Card
    stored_error: float
    forms: tuple[ExportedForm, ...]
    units: int
    units_left: int
    unread: int
    exactness: float
    batch: int

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that were written."""
        return tuple(form.path for form in self.forms if form.path is not None)

    def form(self, name: str) -> ExportedForm:
        """Return a form by its name."""
        return next(form for form in self.forms if form.name == name)

    def sentences(self) -> list[str]:
        """Return the outcome in sentences."""
        card = self.card
        lines = [f"{self.words}, {card.kept:,} of {card.prunable:,} weights"]
        lines.append(self._error())
        lines += [_proof(form) for form in self.forms if form.path is not None]
        whole = self.form("unpruned")
        for form in self.forms:
            if form.name == "sparse":
                lines.append(
                    f"The sparse file has {_share(form.bytes / whole.bytes)} of the unpruned one's bytes. It runs "
                    "as slowly as before, in as much memory: single weights that are missing save no time."
                )
            if form.name == "dense" and form.timing is not None:
                lines.append(self._gain(form, whole, form.timing))
        return lines

    def _error(self) -> str:
        error = f"test error {self.card.test_error:.4g}"
        if not self.card.retrained:
            return f"{error}, as in the store" if self.card.test_error == self.stored_error else self._unlike(error)
        if self.card.test_error == self.stored_error:
            return f"{error}: trained again for this, with the error of the store"
        return self._unlike(f"{error}: trained again for this")

    def _unlike(self, start: str) -> str:
        return f"{start}; the store says {self.stored_error:.4g}. The numbers here are those of the exported network"

    def _gain(self, form: ExportedForm, whole: ExportedForm, timing: Timing) -> str:
        gone = [f"{self.units - self.units_left:,} of {self.units:,} units"] if self.units > self.units_left else []
        if self.unread:
            gone.append(f"{self.unread:,} of {prod(self.card.shape):,} input values")
        folding = next((timed.timing for timed in self.forms if timed.name == "folded"), None)
        rest = f"; folding normalisations alone: {_share(folding.share)}" if folding is not None else ""
        size, count = _share(form.bytes / whole.bytes), _share(form.multiply_adds / whole.multiply_adds)
        return (
            f"In the dense file {' and '.join(gone) or 'no units'} were removed. It has {size} of the unpruned "
            f"network's bytes, {count} of its multiply-adds and takes {_share(timing.share)} of its time "
            f"({_share(timing.share_least)} to {_share(timing.share_most)}{rest})."
        )


def _share(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"


def _proof(form: ExportedForm) -> str:
    if not form.proved_on:
        return f"{form.path}: read back, every tensor equal to the last bit"
    same = "every prediction the same"
    if form.changed:
        same = f"all predictions the same but {form.changed:,}, whose two highest logits are equal to rounding"
    apart = f"logits within {form.difference:.2g}" if form.difference else "logits equal to the last bit"
    return f"{form.path}: {same} on {form.proved_on:,} test examples, {apart}"
