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

from prunescope.record.module_state import optimized

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
