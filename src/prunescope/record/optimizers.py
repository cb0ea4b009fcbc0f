"""What a rung asks of somebody's optimizers: pruned weights stay zero, and learning rates continue as they were.

Gradients of pruned weights are zero, so that neither momentum nor a clipped norm knows of them, and the weights are set
to zero after every step. A scheduler is taken to the rewind epoch.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunescope.errors import listed
from prunescope.record.module_state import optimized, refusal

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class ZeroHold:
    """Holds the zeros of one model until it is released.

    Parameters
    ----------
    parameters, masks
        By the layers' names; true where a weight survives.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        masks: Mapping[str, np.ndarray],
        optimizers: Sequence[Any],
    ) -> None:
        self._parameters = {name: parameters[name] for name in parameters if not masks[name].all()}
        self._masks = masks
        self._kept_bits: dict[str, Tensor] = {}
        self._release: list[Callable[[], object]] = []
        if not self._parameters:
            return
        self.apply()
        for name, parameter in self._parameters.items():
            if parameter.requires_grad:
                handle: Any = parameter.register_hook(self._gradient_hook(name))  # type: ignore[no-untyped-call]
                self._release.append(handle.remove)
        for optimizer in optimizers:
            self._after_step(optimizer)

    def apply(self, optimizer: Any = None) -> None:
        """Set the pruned weights to zero; of an optimizer's tensors alone where one is named."""
        held = None if optimizer is None else optimized([optimizer])
        for name, parameter in self._parameters.items():
            # An optimizer may step within the backward pass, where other tensors must not change.
            if held is None or id(parameter) in held:
                bits = self._bits(name, parameter)
                parameter.detach().view(bits.dtype).bitwise_and_(bits)

    def release(self) -> None:
        """Let the model and its optimizers be as they were."""
        while self._release:
            self._release.pop()()

    def _bits(self, name: str, tensor: Tensor) -> Tensor:
        """Return a mask of a tensor's bits: all of them where a weight survives, none where not.

        On a processor ``masked_fill`` takes twenty times as long; and a product would keep signs of zeros, and NaN.
        """
        dtype = _BITS[tensor.element_size()]
        bits = self._kept_bits.get(name)
        if bits is None or bits.device != tensor.device or bits.dtype != dtype:
            bits = torch.empty_like(tensor.detach(), dtype=dtype).copy_(torch.from_numpy(self._masks[name])).neg_()
            self._kept_bits[name] = bits
        return bits

    def _gradient_hook(self, name: str) -> Callable[[Tensor], Tensor]:
        def hook(gradient: Tensor) -> Tensor:
            if gradient.is_sparse:
                return gradient
            bits = self._bits(name, gradient)
            if gradient.requires_grad:  # it is to be differentiated once more
                return gradient.masked_fill(bits == 0, 0)
            return (gradient.view(bits.dtype) & bits).view(gradient.dtype)

        return hook

    def _after_step(self, optimizer: Any) -> None:
        """Have the zeros set after every step of an optimizer."""
        inner = optimizer
        while hasattr(inner, "optimizer"):  # wrapped, as accelerate does, or for averages of weights
            inner = inner.optimizer
        if isinstance(inner, torch.optim.Optimizer):
            handle: Any = inner.register_step_post_hook(lambda *_: self.apply(optimizer))
            self._release.append(handle.remove)
        if inner is optimizer and isinstance(inner, torch.optim.Optimizer):
            return
        step = optimizer.step

        @wraps(step)
        def stepped(*positional: object, **named: object) -> object:
            result = step(*positional, **named)
            self.apply(optimizer)
            return result

        optimizer.step = stepped

        def undo() -> None:
            optimizer.step = step

        self._release.append(undo)


class Rates:
    """The optimizers of a rung, and a scheduler where one is handed over."""

    def __init__(self, optimizers: Sequence[Any], scheduler: Any) -> None:
        while hasattr(scheduler, "scheduler"):  # accelerate's
            scheduler = scheduler.scheduler
        self._optimizers = optimizers
        self._scheduler = scheduler

    @property
    def now(self) -> list[float]:
        """The rates of all groups of parameters."""
        groups = (group for optimizer in self._optimizers for group in optimizer.param_groups)
        return [float(group["lr"]) for group in groups if "lr" in group]

    @property
    def steps(self) -> Any:
        """How many steps the scheduler has taken; None where it does not say, or is none."""
        scheduler = self._scheduler
        if isinstance(scheduler, torch.optim.lr_scheduler.ChainedScheduler):  # they step together
            scheduler = scheduler._schedulers[0]
        return getattr(scheduler, "last_epoch", None)

    def check(self, *, goes_back: bool, fine_tunes: bool) -> None:
        """Refuse a scheduler that cannot train this ladder's rungs.

        Parameters
        ----------
        goes_back
            Whether later rungs begin at the rewind epoch.
        fine_tunes
            Whether they keep the last epoch's rate.
        """
        scheduler = self._scheduler
        if scheduler is None:
            return
        kind = type(scheduler).__name__
        if goes_back and isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            raise refusal("the scheduler", "must follow from the epoch alone, to be replayed", kind)
        if goes_back and not isinstance(self.steps, int):
            must = "must count its steps as `last_epoch`, as torch's do, to be replayed; or set the rate by the epoch"
            raise refusal("the scheduler", must, kind)
        if fine_tunes:
            must = "must be left out for fine-tuning: set the rate that epoch rung.rate_epoch(epoch) has"
            raise refusal("the scheduler", must, kind)
        if (getattr(scheduler, "last_epoch", None) or 0) > 0:
            raise refusal("the scheduler", "must be made anew for each rung", "one that has taken steps")

    def take_forward(self, steps: object) -> None:
        """Take the scheduler to where it stood at the rewind epoch, after so many steps."""
        if self._scheduler is None:
            return
        if not isinstance(steps, int):
            raise refusal(
                "the scheduler", "must be given at rung 0 too, so that its place there is known", "none there"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no step of the optimizer comes between
            for _ in range(steps):
                self._scheduler.step()

    def refuse_lost_scheduler(self, epoch: int, before: Sequence[float]) -> None:
        """Refuse a scheduler that was not handed over and does not stand where it stood at the rewind epoch.

        Parameters
        ----------
        before
            The rates of rung 0 at that epoch.
        """
        if not before or self._scheduler is not None:
            return
        if not any(hasattr(optimizer.step, "_wrapped_by_lr_sched") for optimizer in self._optimizers):
            return  # the loop sets its rates itself
        now = self.now
        if len(now) != len(before) or not all(map(math.isclose, now, before)):
            must = f"must stand at epoch {epoch}: hand it over, rung.on(model, optimizer, scheduler=scheduler)"
            got = f"learning rates {listed(f'{rate:.4g}' for rate in now)}, where rung 0 had"
            raise refusal("the scheduler", must, f"{got} {listed(f'{rate:.4g}' for rate in before)}")
