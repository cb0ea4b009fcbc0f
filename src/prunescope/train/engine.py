"""What takes gradient steps for a cohort, and the general way to do it: any network, through autograd."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from prunescope.nets import Network
from prunescope.nets.cohort import Layout
from prunescope.study.sections import Recipe
from prunescope.train.optimizer import clip, optimizer

Tensors = Mapping[str, Tensor]


class Engine(Protocol):
    """R members in training, their tensors stacked ``[R, ...]``."""

    columns: Tensor | None
    """Which input columns each member reads, ``[R, k]``; None where all do."""

    def step(self, x: Tensor, labels: Tensor, rate: float) -> None:
        """Take one gradient step on each member's mean loss over its own batch ``labels`` [R, B]."""

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits ``[R, B, classes]`` as in evaluation."""

    def state(self) -> dict[str, Tensor]:
        """Return parameters and buffers as they are now, in full."""


class AutogradEngine:
    """Any network, by autograd."""

    columns: Tensor | None = None

    def __init__(self, network: Network, recipe: Recipe, tensors: Tensors, masks: Tensors, layout: Layout) -> None:
        trained = {parameter.name: parameter.trained for parameter in network.outline.parameters}
        self._network = network
        self._layout = layout
        self._parameters = {name: tensors[name].clone().requires_grad_(free) for name, free in trained.items()}
        self._buffers = {buffer.name: tensors[buffer.name].clone() for buffer in network.outline.buffers}
        self._trained = {name: values for name, values in self._parameters.items() if trained[name]}
        free = [parameter.detach() for parameter in self._trained.values()]
        self._masks = [masks.get(name) for name in self._trained]
        self._rule = optimizer(recipe, free, self._masks)
        self._most, self._smoothing = recipe.clip_norm, recipe.label_smoothing
        self._half = recipe.precision == "bfloat16"

    def _precision(self, x: Tensor) -> AbstractContextManager[object]:
        return torch.autocast(x.device.type, torch.bfloat16) if self._half else nullcontext()

    def step(self, x: Tensor, labels: Tensor, rate: float) -> None:
        """Take one gradient step; the members' losses are summed, so their gradients stay their own."""
        with self._precision(x):
            logits = self._network.logits({**self._parameters, **self._buffers}, x, True, self._layout)
        flat = logits.reshape(-1, logits.shape[-1])
        loss = F.cross_entropy(
            flat if flat.dtype == torch.float64 else flat.float(),
            labels.reshape(-1),
            reduction="sum",
            label_smoothing=self._smoothing,
        )
        parameters = list(self._trained.values())
        slopes = torch.autograd.grad(loss / labels.shape[1], parameters, allow_unused=True)
        pairs: Iterable[tuple[Tensor, Tensor | None]] = zip(parameters, slopes, strict=True)
        gradients = [torch.zeros_like(parameter) if gradient is None else gradient for parameter, gradient in pairs]
        if self._most:
            clip(gradients, self._masks, self._most)
        self._rule.step(gradients, rate)

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """Return the logits as in evaluation."""
        with self._precision(x):
            return self._network.logits({**self._parameters, **self._buffers}, x, False, self._layout)

    def state(self) -> dict[str, Tensor]:
        """Return parameters and buffers as they are now."""
        return {name: tensor.detach() for name, tensor in {**self._parameters, **self._buffers}.items()}
