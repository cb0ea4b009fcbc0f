"""A rung in somebody's trainer: callbacks for Lightning and for Hugging Face's Trainer.

They begin the rung where training begins, keep the rewind point, and stop training after the rung's last epoch. The
trainer is always told the epochs of a whole training: so its schedule is that of rung 0, taken up where rewinding goes.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from prunescope.errors import MissingPackageError, PrunescopeError
from prunescope.record.module_state import refusal

if TYPE_CHECKING:
    from prunescope.record.rung import Epochs, Rung


class _Course:
    """The epochs of a rung within a trainer's."""

    def __init__(self, rung: Rung, total: int) -> None:
        self._rung = rung
        self._total = total
        self._epochs: Epochs | None = None
        self._begun = 0

    def begin(self, told: Any, name: str, steps: Any, model: Any, optimizers: list[Any], schedulers: list[Any]) -> None:
        """Begin the rung; the trainer must have been told the epochs of a whole training, and no number of steps."""
        if steps is not None and steps > 0:
            must = f"must not be given: rungs are trained by epochs, {self._total} in a whole training"
            raise refusal("max_steps", must, str(steps), source="the trainer")
        if told != self._total:
            must = f"must be {self._total}, the epochs of a whole training: the callback stops where the rung ends"
            raise refusal(name, must, str(told), source="the trainer")
        if len(schedulers) > 1:
            must = "must be one, so that it can be taken to the rewind epoch"
            raise refusal("the scheduler", must, str(len(schedulers)), source="the trainer")
        self._rung.open(model, *optimizers, scheduler=schedulers[0] if schedulers else None)
        self._epochs = self._rung.epochs(self._total)

    def begin_epoch(self) -> None:
        """Note that an epoch begins."""
        if self.over:
            raise PrunescopeError(
                "the trainer goes on after the rung's last epoch: does it have min_epochs or min_steps?"
            )
        if self._epochs is not None:
            self._rung.begin_epoch(self._epochs.first + self._begun)
            self._begun += 1

    @property
    def over(self) -> bool:
        """Whether the rung's last epoch has begun."""
        return self._epochs is not None and self._begun >= len(self._epochs)


def _package(*names: str, install: str) -> Any:
    """Import the first of some packages that is in use, or else that is installed."""
    for name in sorted(names, key=lambda name: name not in sys.modules):
        try:
            return import_module(name)
        except ModuleNotFoundError:
            continue
    raise MissingPackageError(f"this callback needs {install}: pip install {install}")


def lightning_callback(rung: Rung, epochs: int) -> Any:
    """Return a callback for Lightning's ``Trainer(max_epochs=epochs, callbacks=[...])``."""
    base: Any = _package("lightning.pytorch", "pytorch_lightning", install="lightning").Callback
    course = _Course(rung, epochs)

    class PruningCallback(base):  # type: ignore[misc]
        """Trains one rung of a ladder."""

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
            steps, optimizers = trainer.max_steps, list(trainer.optimizers)
            course.begin(trainer.max_epochs, "max_epochs", steps, pl_module, optimizers, schedulers)

        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            del trainer, pl_module
            course.begin_epoch()

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            del pl_module
            trainer.should_stop = trainer.should_stop or course.over

        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            del trainer, pl_module
            rung.fail(exception)

    return PruningCallback()


def transformers_callback(rung: Rung, epochs: int) -> Any:
    """Return a callback for Hugging Face's ``Trainer`` with ``TrainingArguments(num_train_epochs=epochs)``."""
    base: Any = _package("transformers", install="transformers").TrainerCallback
    course = _Course(rung, epochs)

    class PruningCallback(base):  # type: ignore[misc]
        """Trains one rung of a ladder."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            del state, control
            schedulers = [others["lr_scheduler"]] if others.get("lr_scheduler") is not None else []
            optimizers = [others["optimizer"]]
            told = args.num_train_epochs
            course.begin(told, "num_train_epochs", args.max_steps, others["model"], optimizers, schedulers)

        def on_epoch_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            del args, state, control, others
            course.begin_epoch()

        def on_epoch_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            del args, state, others
            control.should_training_stop = control.should_training_stop or course.over

    return PruningCallback()
