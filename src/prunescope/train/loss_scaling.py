"""Scales of losses in float16, so that small gradients are not lost: each member of a cohort has its own.

As torch's `GradScaler` for one network. A member whose gradient is infinite or no number leaves the step out, and its
scale is halved; after 2,000 steps without that it is doubled. Scales are powers of two, so they change no digit of what
fits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

FIRST, GROWTH, BACKOFF, INTERVAL = 2.0**16, 2.0, 0.5, 2_000  # torch's defaults


class _Rule(Protocol):
    """What scaling needs of an optimizer."""

    def state(self) -> dict[str, list[Tensor]]:
        """Return what a step leaves to the next."""

    def missed(self, steps: Tensor) -> None:
        """Take note of how many of the steps so far each member has not taken."""


class LossScaling:
    """The scales of R members.

    Parameters
    ----------
    parameters
        What is trained, stacked ``[R, ...]``.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = list(parameters)
        members = len(self._parameters[0])
        self._scale = self._parameters[0].new_full((members,), FIRST)
        self._good = torch.zeros(members, dtype=torch.int64, device=self._scale.device)
        self._missed = torch.zeros_like(self._good)

    def scaled(self, losses: Tensor) -> Tensor:
        """Return the sum of the members' losses ``[R]``, each times its scale."""
        return (losses * self._scale.to(losses.dtype)).sum()

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rule: _Rule, update: Callable[[], None]) -> None:
        """Take the scales out of gradients, in place; ``update`` the members whose gradients are finite by ``rule``."""
        for values in gradients:
            values.div_(self._scale.view(-1, *[1] * (values.ndim - 1)))
        finite = torch.stack([values.flatten(1).isfinite().all(1) for values in gradients]).all(0)
        if bool(finite.all()):
            update()
        else:
            self._update_some(finite, gradients, rule, update)
        self._good = torch.where(finite, self._good + 1, 0)
        grown = self._good == INTERVAL
        self._scale *= torch.where(finite, torch.where(grown, GROWTH, 1.0), BACKOFF)
        self._good[grown] = 0

    def _update_some(
        self, finite: Tensor, gradients: Sequence[Tensor], rule: _Rule, update: Callable[[], None]
    ) -> None:
        """Update all members, and take back what that did to those whose gradients are not finite."""
        left_out = ~finite
        for values in gradients:
            values[left_out] = 0
        before = [values[left_out] for values in self._parameters]
        state_before = {kind: [values[left_out] for values in tensors] for kind, tensors in rule.state().items()}
        update()
        for values, kept in zip(self._parameters, before, strict=True):
            values[left_out] = kept
        for kind, tensors in rule.state().items():
            for place, values in enumerate(tensors):
                values[left_out] = state_before[kind][place] if kind in state_before else 0
        self._missed += left_out
        rule.missed(self._missed)

    def state(self) -> dict[str, Tensor]:
        """Return all that later steps depend on, ``[R]`` each."""
        return {"scale": self._scale, "good": self._good, "missed": self._missed}

    def restore(self, state: Mapping[str, Tensor], rule: _Rule) -> None:
        """Go on from a state."""
        for name, values in self.state().items():
            values.copy_(state[name])
        rule.missed(self._missed)
