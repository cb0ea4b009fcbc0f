"""One rung in somebody's own loop: where training starts, zeros that stay zero, and what is written at the end."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from prunescope.errors import PrunescopeError, listed
from prunescope.prune import LadderRules, Masks, RungHandover, unpacked
from prunescope.record import ranks
from prunescope.record.callbacks import lightning_callback, transformers_callback
from prunescope.record.module_state import ModuleState, check_optimizers, module_state, refusal
from prunescope.record.optimizers import Rates, ZeroHold
from prunescope.record.outcomes import kept_outcomes, plain_metric
from prunescope.table import ArrayKind

if TYPE_CHECKING:
    from prunescope.record.recorder import Recorder


class Epochs:
    """The epochs that a rung trains, in order; at the rewind epoch of rung 0 the rewind point is kept."""

    def __init__(self, rung: Rung, first: int, total: int) -> None:
        self._rung = rung
        self.first = first
        self.total = total

    def __len__(self) -> int:
        return self.total - self.first

    def __iter__(self) -> Iterator[int]:
        for epoch in range(self.first, self.total):
            self._rung.begin_epoch(epoch)
            yield epoch


class Rung:
    """One network of a ladder, to be trained by somebody's own loop.

    Attributes
    ----------
    number
        Its place on the ladder: 0 is dense.
    seed
        What the model is made from: the same at every rung, but another each time where a treatment reinitialises.
    starts_from
        What it starts from, in words.
    """

    def __init__(self, recorder: Recorder, number: int) -> None:
        self._recorder = recorder
        self._ladder = recorder.ladder
        self.number = number
        self.seed = recorder.seed_of(number)
        self.is_recorded = False
        self._state: ModuleState | None = None
        self._rules: LadderRules
        self._masks: Masks | None = None
        self._before: RungHandover | None = None
        self._note: dict[str, Any] = {}
        self._hold: ZeroHold | None = None
        self._snapshot: Mapping[str, np.ndarray] | None = None
        self._rates: Rates
        self._scheduler_at: int | None = None
        self._rates_at: list[float] = []
        self._total: int | None = None
        self._epochs = 0
        self._last_epoch: int | None = None
        self._infinite: set[str] = set()
        self._begun = ""
        self._clock = 0.0

    def __repr__(self) -> str:
        return f"<rung {self.number} of {self._ladder.words}: density {self.density:.4g}>"

    @property
    def density(self) -> float:
        """The share of the prunable weights that it keeps: counted once the model is known, before that as planned."""
        if self._masks is None:
            return self._ladder.density(self.number)
        return self._masks.kept / self._masks.prunable

    @property
    def starts_from(self) -> str:
        """What it starts from, in words."""
        ladder, rewind = self._ladder, self._ladder.done.rewind
        if self.number == 0:
            return "its initial weights"
        if ladder.treatment == "extended":
            return "the weights of the rung below"
        if rewind == "weights":
            return f"the weights of rung 0 at epoch {ladder.rewind_epoch}"
        if rewind == "reinitialise":
            return "new initial weights"
        return f"the weights of {'rung 0' if ladder.treatment == 'one-shot' else 'the rung below'}"

    @property
    def left_alone(self) -> Mapping[str, str]:
        """The model's matrices that are not pruned, each with the reason."""
        return self._opened().left_alone

    @contextmanager
    def on(self, model: nn.Module, *optimizers: Any, scheduler: Any = None) -> Iterator[Rung]:
        """Train this rung with a model while a ``with`` block runs.

        The model is set to where the rung starts, and its pruned weights stay zero after every step.

        Parameters
        ----------
        model
            Made anew, of the shapes of rung 0.
        optimizers
            Those that train it, made anew from its parameters.
        scheduler
            One of torch's, made anew: it is taken forward to where it stood at the rewind epoch.
        """
        self.open(model, *optimizers, scheduler=scheduler)
        try:
            yield self
        except Exception as trouble:
            self.fail(trouble)
            raise
        else:
            if not self.is_recorded:
                raise PrunescopeError(self.left_words)
        finally:
            self.close()

    @property
    def left_words(self) -> str:
        """What to say where it was left without `record`."""
        words = f"rung {self.number} was left without record(): its row is not written"
        return f"{words}, and the next start begins there again"

    def open(self, model: nn.Module, *optimizers: Any, scheduler: Any = None) -> None:
        """Begin the rung, as `on` does; until `record` or `close`."""
        if self._state is not None:
            raise PrunescopeError(f"rung {self.number} has a model already")
        state = module_state(model, self._recorder.prunable)
        if self.number == 0 and ranks.is_first():
            _warn_of_passed_over(state)
        self._rules = self._recorder.rules(state)
        rates = Rates(optimizers, scheduler)
        self._check(state, optimizers, rates)
        self._note = ranks.from_first(self._recorder.note)
        if self.number > 0:
            state.refuse_other(self._note.get("layers"))
        ranks.from_first(lambda: self._load(state))
        ranks.share_state(state)
        bits = self._masks.packed() if self._masks else np.zeros((state.size + 7) // 8, np.uint8)
        self._masks = unpacked(state.layers, ranks.share_bytes(bits, state.device))
        self._state = state
        self._hold = ZeroHold(state.parameters(), self._masks.by_name(), optimizers)
        self._rates = rates
        self._infinite = {name for name, tensor in state.tensors() if not bool(torch.isfinite(tensor).all())}
        if self._rules.first_epoch(self.number) > 0:
            rates.take_forward(self._note.get("scheduler"))
        self._begun, self._clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
        if self.number == 0 and self._ladder.rewind_epoch == 0:
            self.keep_rewind_point()

    def _check(self, state: ModuleState, optimizers: Sequence[Any], rates: Rates) -> None:
        """Refuse levels, optimizers and schedulers that cannot train this ladder's rungs."""
        ladder, size = self._ladder, state.size
        empty = [number for number in range(ladder.rungs) if ladder.keep(size, number) < 1]
        if empty:
            must = f"must be at most {empty[0] - 1}: of {size:,} weights, rung {empty[0]} would keep none"
            raise refusal("levels", must, str(ladder.levels))
        if not optimizers:
            raise refusal("the optimizer", "must be given, so that pruned weights stay zero", "none")
        check_optimizers(state, optimizers)
        rates.check(goes_back=self._rules.first_epoch(1) > 0, fine_tunes=self._ladder.done.rewind == "fine-tuning")

    def _load(self, state: ModuleState) -> None:
        """Set the model to where the rung starts."""
        self._before = self._recorder.handover(self.number, state)
        start = self._rules.begin(self.number, self._before, lambda _: state.arrays())
        if start.masks.kept != self._rules.expected(self.number):
            expected = self._rules.expected(self.number)
            raise PrunescopeError(f"{start.masks.kept:,} weights survive where {expected:,} should")
        self._masks = start.masks
        state.load(start.tensors)

    def epochs(self, total: int) -> Epochs:
        """Return the epochs to train, of a training of ``total`` epochs; from the rewind epoch on where one goes back.

        Its length says how many there are.
        """
        before = self._note.get("epochs")
        if self.number > 0 and before is not None and before != total:
            raise refusal("epochs", f"must be {before}, as at rung 0", str(total))
        if self._total not in (None, total):
            raise refusal("epochs", f"must be {self._total} each time, those of a whole training", str(total))
        lowest = 1 + (self._ladder.rewind_epoch if self._ladder.treatment != "dense" else 0)
        if total < lowest:
            must = f"must be {lowest} or more" + (", past the rewind epoch" if lowest > 1 else "")
            raise refusal("epochs", must, str(total))
        self._opened()
        self._total = total
        return Epochs(self, self._rules.first_epoch(self.number), total)

    def rate_epoch(self, epoch: int) -> int:
        """Return the epoch whose learning rate an epoch takes: the last one's throughout where a rung is fine-tuned."""
        if self.number > 0 and self._ladder.done.rewind == "fine-tuning" and self._total is not None:
            return self._total - 1
        return epoch

    def begin_epoch(self, epoch: int) -> None:
        """Note that an epoch begins; `epochs` does it for a loop."""
        self._opened()
        if self._last_epoch is not None and epoch <= self._last_epoch:
            words = f"epoch {epoch} of rung {self.number} has begun before"
            raise PrunescopeError(f"{words}: go through rung.epochs(total) once, from its first epoch to its last")
        if self.number == 0 and epoch == self._ladder.rewind_epoch:
            self.keep_rewind_point()
        if self._epochs == 0 and epoch > 0 and self._ladder.done.rewind != "fine-tuning":
            self._rates.refuse_lost_scheduler(epoch, self._note.get("rates") or ())
        self._last_epoch = epoch
        self._epochs += 1

    def keep_rewind_point(self) -> None:
        """Keep a copy of the model as it is: what later rungs go back to."""
        state = self._opened()
        if self._rules.rewinds_weights and ranks.is_first():
            self._snapshot = state.arrays()
        self._scheduler_at, self._rates_at = self._rates.steps, self._rates.now

    def record(
        self,
        *,
        test_error: Any = None,
        test_loss: Any = None,
        test_examples: int | None = None,
        test_correct: Any = None,
        validation_error: Any = None,
        validation_loss: Any = None,
        train_error: Any = None,
        train_loss: Any = None,
        train_loss_original: Any = None,
        train_loss_noisy: Any = None,
        examples: Any = None,
        epochs: int | None = None,
    ) -> None:
        """Check the rung, prune, and write: what the next rung starts from first, then the row.

        Errors are shares of examples, losses means. Where several processes train, those of rank 0 count.

        Parameters
        ----------
        test_examples
            How many examples `test_error` is a share of; not needed for datasets that prunescope knows.
        test_correct
            Which test examples are classified correctly, in the order of the test set, the same for all networks. The
            store keeps them, and `test_error` and `test_examples` follow from them.
        examples
            Outcomes of single training examples: ``(index, loss, correct)``, or a mapping with these and ``label`` and
            ``noisy`` too.
        epochs
            How many epochs were trained, where the loop did not go by `epochs`.
        """
        if self.is_recorded:
            raise PrunescopeError(f"rung {self.number} is recorded already")
        self._opened()
        if test_error is None and test_loss is None and test_correct is None:
            raise refusal("test_error", "must be given, or test_loss in its place", "neither")
        outcome = {
            "test_error": test_error,
            "test_loss": test_loss,
            "test_examples": test_examples,
            "validation_error": validation_error,
            "validation_loss": validation_loss,
            "train_error": train_error,
            "train_loss": train_loss,
            "train_loss_original": train_loss_original,
            "train_loss_noisy": train_loss_noisy,
        }
        seconds = time.perf_counter() - self._clock
        given = {ArrayKind.EXAMPLES: examples, ArrayKind.TEST_EXAMPLES: test_correct}
        ranks.from_first(lambda: self._write(outcome, given, self._epochs if epochs is None else epochs, seconds))
        self.is_recorded = True
        self.close()

    def _write(self, outcome: dict[str, Any], given: Mapping[ArrayKind, Any], epochs: int, seconds: float) -> None:
        """Prune and write."""
        state = self._opened()
        if epochs < 1:
            must = "must be trained: go by `for epoch in rung.epochs(total)`, or give record(epochs=...)"
            raise refusal("epochs", must, "none")
        if self._rules.rewinds_weights and self.number == 0 and self._snapshot is None:
            epoch = self._ladder.rewind_epoch
            must = f"must pass epoch {epoch}, which later rungs go back to: go by rung.epochs(total), or call"
            raise refusal("rung 0", f"{must} rung.keep_rewind_point() there")
        after = state.arrays()
        masks = self._masks_or_raise().by_name()
        if broken := [name for name, mask in masks.items() if after[name][~mask].any()]:
            must = "must be zero; is the optimizer that was given to on() the one that trains, and the model the same?"
            raise refusal(f"pruned weights of {listed(broken, 4)}", must, "others")
        if bad := [name for name in after if name not in self._infinite and not np.isfinite(after[name]).all()]:
            raise PrunescopeError(f"diverged: {bad[0]} is infinite or no number; a lower learning rate may help")
        arrays = kept_outcomes(given, outcome)
        row = {
            **{name: plain_metric(name, value) for name, value in outcome.items()},
            "epochs": epochs,
            "seconds": seconds,
            "device": state.device.type,
            "started": self._begun,
        }
        note = {
            "layers": state.outline(),
            "left_alone": dict(state.left_alone),
            "epochs": self._total or self._note.get("epochs"),
            "scheduler": self._scheduler_at if self.number == 0 else self._note.get("scheduler"),
            "rates": self._rates_at if self.number == 0 else self._note.get("rates"),
        }
        leave = self._rules.leave(
            self.number,
            self._masks_or_raise(),
            self._before,
            after,
            self._snapshot,
            lambda: self._recorder.draws(self.number + 1),
            self._recorder.probe(state),
        )
        self._recorder.write(self.number, state, self._masks_or_raise(), after, leave, row, note, arrays)

    def fail(self, trouble: BaseException) -> None:
        """Note that the rung failed, unless it was merely stopped."""
        if isinstance(trouble, Exception):
            self._recorder.fail(self.number, trouble)

    def lightning(self, epochs: int) -> Any:
        """Return a callback for Lightning: ``Trainer(max_epochs=epochs, callbacks=[rung.lightning(epochs)])``.

        It takes the place of `on` and `epochs`. After ``trainer.fit`` comes `record`.

        Parameters
        ----------
        epochs
            Of a whole training, as at rung 0; later rungs stop earlier where they begin at the rewind epoch.
        """
        return lightning_callback(self, epochs)

    def transformers(self, epochs: int) -> Any:
        """Return a callback for Hugging Face's ``Trainer``, with ``TrainingArguments(num_train_epochs=epochs)``.

        It takes the place of `on` and `epochs`. After ``trainer.train`` comes `record`.

        Parameters
        ----------
        epochs
            Of a whole training, as at rung 0; later rungs stop earlier where they begin at the rewind epoch.
        """
        return transformers_callback(self, epochs)

    def close(self) -> None:
        """Let go of the model and its optimizers."""
        if self._hold is not None:
            self._hold.release()

    def _opened(self) -> ModuleState:
        if self._state is None:
            raise PrunescopeError(
                f"rung {self.number} has no model yet: train it within `with rung.on(model, optimizer)`"
            )
        return self._state

    def _masks_or_raise(self) -> Masks:
        self._opened()
        assert self._masks is not None  # noqa: S101 - set together with the state
        return self._masks


def _warn_of_passed_over(state: ModuleState) -> None:
    """Warn where the usual rule leaves alone more weights than it prunes, as in recurrent networks."""
    pruned, others = state.size, sum(matrix.size for matrix in state.passed_over)
    if others > pruned:
        names = [matrix.name for matrix in state.passed_over]
        warnings.warn(
            f"pruning removes from {pruned:,} of {pruned + others:,} weights, those of linear layers, convolutions and "
            f"attention; it leaves alone {listed(names, 4)}. Recorder(..., prunable=[...]) names layers to prune",
            stacklevel=5,
        )
