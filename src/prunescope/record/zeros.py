"""Keeps pruned weights at zero while somebody's own loop trains, whatever the optimizer.

Their gradients are zero, so that neither momentum nor a clipped norm knows of them, and they are set to zero after
every step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


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
        self._pruned = {name: torch.from_numpy(~masks[name]) for name in self._parameters}
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

    def apply(self) -> None:
        """Set the pruned weights to zero."""
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.masked_fill_(self._of(name, parameter), 0)

    def broken(self) -> list[str]:
        """Return the layers whose pruned weights are not zero."""
        return [
            name
            for name, parameter in self._parameters.items()
            if bool((parameter.detach()[self._of(name, parameter)] != 0).any())
        ]

    def release(self) -> None:
        """Let the model and its optimizers be as they were."""
        while self._release:
            self._release.pop()()

    def _of(self, name: str, tensor: Tensor) -> Tensor:
        if self._pruned[name].device != tensor.device:
            self._pruned[name] = self._pruned[name].to(tensor.device)
        return self._pruned[name]

    def _gradient_hook(self, name: str) -> Callable[[Tensor], Tensor]:
        def hook(gradient: Tensor) -> Tensor:
            return gradient if gradient.is_sparse else gradient.masked_fill(self._of(name, gradient), 0)

        return hook

    def _after_step(self, optimizer: Any) -> None:
        """Have the zeros set after every step of an optimizer."""
        inner = optimizer
        while hasattr(inner, "optimizer"):  # wrapped, as accelerate does, or for averages of weights
            inner = inner.optimizer
        if isinstance(inner, torch.optim.Optimizer):
            handle: Any = inner.register_step_post_hook(lambda *_: self.apply())
            self._release.append(handle.remove)
        if inner is optimizer and isinstance(inner, torch.optim.Optimizer):
            return
        step = optimizer.step

        @wraps(step)
        def stepped(*positional: object, **named: object) -> object:
            result = step(*positional, **named)
            self.apply()
            return result

        optimizer.step = stepped

        def undo() -> None:
            optimizer.step = step

        self._release.append(undo)
