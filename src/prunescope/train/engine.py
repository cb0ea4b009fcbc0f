"""What takes gradient steps for a cohort: the update rules, and the general way to gradients, through autograd.

The rules are those of torch.optim, over stacked parameters with masks. A pruned weight stays zero: parameters are
multiplied by their masks after every step, whatever momentum and weight decay have done.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from prunescope.nets import Network
from prunescope.nets.cohort import Layout
from prunescope.study.sections import Recipe
from prunescope.train.pictures import AnyPictures, ExampleSource

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Optimizer(Protocol):
    """Changes parameters in place."""

    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        """Take one step; the gradients are used up."""

    def state(self) -> dict[str, list[Tensor]]:
        """Return what a step leaves to the next, for each parameter; nothing before the first step."""

    def restore(self, state: Mapping[str, Sequence[Tensor]], steps: int) -> None:
        """Go on from what ``steps`` steps have left."""


class _Masked:
    """Parameters, and which of them have masks."""

    def __init__(self, parameters: Sequence[Tensor], masks: Sequence[Tensor | None]) -> None:
        self.parameters = list(parameters)
        self.masked = [parameter for parameter, mask in zip(parameters, masks, strict=True) if mask is not None]
        self.masks = [mask for mask in masks if mask is not None]

    def zero_pruned(self) -> None:
        if self.masks:
            torch._foreach_mul_(self.masked, self.masks)


class SGD:
    """Stochastic gradient descent with momentum, Nesterov's form of it, and weight decay."""

    def __init__(self, recipe: Recipe, parameters: Sequence[Tensor], masks: Sequence[Tensor | None]) -> None:
        self._masked = _Masked(parameters, masks)
        self._momentum = recipe.momentum
        self._nesterov = recipe.nesterov
        self._decay = recipe.weight_decay
        self._velocity: list[Tensor] | None = None

    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        """Take one step; the gradients are used up."""
        parameters, change = self._masked.parameters, list(gradients)
        if self._decay:
            torch._foreach_add_(change, parameters, alpha=self._decay)
        if self._momentum:
            if self._velocity is None:  # as torch starts it: the first gradient, not scaled
                self._velocity = [values.clone() for values in change]
            else:
                torch._foreach_mul_(self._velocity, self._momentum)
                torch._foreach_add_(self._velocity, change)
            if self._nesterov:
                torch._foreach_add_(change, self._velocity, alpha=self._momentum)
            else:
                change = self._velocity
        torch._foreach_add_(parameters, change, alpha=-rate)
        self._masked.zero_pruned()

    def state(self) -> dict[str, list[Tensor]]:
        """Return what a step leaves to the next, for each parameter; nothing before the first step."""
        return {} if self._velocity is None else {"velocity": self._velocity}

    def restore(self, state: Mapping[str, Sequence[Tensor]], steps: int) -> None:
        """Go on from what ``steps`` steps have left."""
        del steps
        if "velocity" in state:
            self._velocity = [values.clone() for values in state["velocity"]]


class Adam:
    """Adam (Kingma and Ba 2015) with torch's defaults; weight decay is added to the gradient.

    As AdamW (Loshchilov and Hutter 2019) parameters decay by themselves: the gradient and its means know nothing of it.
    """

    def __init__(self, recipe: Recipe, parameters: Sequence[Tensor], masks: Sequence[Tensor | None]) -> None:
        self._masked = _Masked(parameters, masks)
        self._decay = recipe.weight_decay
        self._apart = recipe.optimizer == "adamw"
        self._mean = [torch.zeros_like(parameter) for parameter in parameters]
        self._square = [torch.zeros_like(parameter) for parameter in parameters]
        self._steps = 0

    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        """Take one step; the gradients are used up."""
        parameters, change = self._masked.parameters, list(gradients)
        first, second = BETAS
        self._steps += 1
        if self._decay and self._apart:
            torch._foreach_mul_(parameters, 1 - rate * self._decay)
        elif self._decay:
            torch._foreach_add_(change, parameters, alpha=self._decay)
        torch._foreach_lerp_(self._mean, change, 1 - first)
        torch._foreach_mul_(self._square, second)
        torch._foreach_addcmul_(self._square, change, change, 1 - second)
        below = torch._foreach_sqrt(self._square)
        torch._foreach_div_(below, (1 - second**self._steps) ** 0.5)
        torch._foreach_add_(below, EPSILON)
        torch._foreach_addcdiv_(parameters, self._mean, below, -rate / (1 - first**self._steps))
        self._masked.zero_pruned()

    def state(self) -> dict[str, list[Tensor]]:
        """Return what a step leaves to the next, for each parameter."""
        return {"mean": self._mean, "square": self._square}

    def restore(self, state: Mapping[str, Sequence[Tensor]], steps: int) -> None:
        """Go on from what ``steps`` steps have left."""
        self._steps = steps
        for name, values in (("mean", self._mean), ("square", self._square)):
            torch._foreach_copy_(values, list(state[name]))


def optimizer(recipe: Recipe, parameters: Sequence[Tensor], masks: Sequence[Tensor | None]) -> Optimizer:
    """Return the update rule of a recipe, started fresh."""
    rule = SGD if recipe.optimizer == "sgd" else Adam
    return rule(recipe, parameters, masks)


def decayed(recipe: Recipe, rates: Sequence[float]) -> float:
    """Return what becomes, under SGD or AdamW, of a parameter 1 that no gradient reaches: weight decay alone."""
    if recipe.optimizer == "adamw":
        return math.prod(1 - rate * recipe.weight_decay for rate in rates)
    value, velocity = 1.0, None
    for rate in rates if recipe.weight_decay else ():
        change = recipe.weight_decay * value
        if recipe.momentum:
            velocity = change if velocity is None else recipe.momentum * velocity + change
            change = change + recipe.momentum * velocity if recipe.nesterov else velocity
        value -= rate * change
    return value


def clip(gradients: Sequence[Tensor], masks: Sequence[Tensor | None], most: float) -> None:
    """Scale the gradient of each member down to a norm, in place, as `torch.nn.utils.clip_grad_norm_` does.

    The norm is over all parameters that survive: a pruned weight has no gradient, whatever a product left there.

    Parameters
    ----------
    gradients
        Stacked, ``[R, ...]``.
    """
    kept = [values if mask is None else values * mask for values, mask in zip(gradients, masks, strict=True)]
    norms = torch.stack([torch.linalg.vector_norm(values.flatten(1), dim=1) for values in kept])
    scale = (most / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
    for values in gradients:
        values.mul_(scale.view(-1, *[1] * (values.ndim - 1)))


RISE = 0.3  # share of a training in which one-cycle's rate grows where no warm-up is given, as in torch
START, END = 1 / 25, 1 / 25e4  # shares of the highest rate that one-cycle begins and ends with, as in torch


def rate(recipe: Recipe, epoch: int, step: int, steps: int) -> float:
    """Return the learning rate at a step of an epoch, both from 0, of ``steps`` steps an epoch.

    A function of the place in the schedule alone: what goes back to an epoch repeats the rates from there on. Warm-up
    grows by the same amount with every step and reaches the full rate at its last one. Cosine and linear fall from
    there, step by step, towards ``end_factor`` times the full rate, which the step after the last would have.
    """
    place, total = epoch * steps + step, recipe.epochs * steps
    if recipe.schedule == "one-cycle":
        return recipe.learning_rate * _one_cycle(place, total, recipe.warmup * steps or RISE * total)
    passed = sum(epoch >= milestone for milestone in recipe.milestones)
    full = recipe.learning_rate * recipe.factor**passed
    risen = recipe.warmup * steps
    if place < risen:
        return full * (place + 1) / risen
    if recipe.schedule in ("cosine", "linear"):
        share = (place - risen) / (total - risen)
        fallen = share if recipe.schedule == "linear" else (1 - math.cos(math.pi * share)) / 2
        return full * (1 - fallen * (1 - recipe.end_factor))
    return full


def _one_cycle(place: int, total: int, rise: float) -> float:
    """Return the share of the highest rate at a step: up to the last step of the rise and down, along cosines."""
    top, last = rise - 1, total - 1
    if place <= top:
        low, share = START, 1 - place / top if top else 0.0
    else:
        low, share = END, (place - top) / (last - top)
    return low + (1 - low) * (1 + math.cos(math.pi * share)) / 2


def held_rate(recipe: Recipe, epoch: int, step: int, steps: int) -> float:
    """Return the rate that fine-tuning keeps: that of an epoch, and where it falls within, what it begins with."""
    falls = recipe.schedule in ("cosine", "linear", "one-cycle")
    return rate(recipe, epoch, 0 if falls else step, steps)


Tensors = Mapping[str, Tensor]


class Engine(Protocol):
    """R members in training, their tensors stacked ``[R, ...]``."""

    copied_columns: int
    """How many values of each example `examples` copies; 0 where it copies none."""

    evaluated_at_once: int | None
    """How many examples are best evaluated at once; None: as many as there is room for."""

    def examples(self, pictures: AnyPictures, places: Tensor) -> ExampleSource:
        """Return the members' examples ``places`` [R, n], laid out as steps take them."""

    def step(self, x: Tensor, labels: Tensor, rate: float) -> None:
        """Take one gradient step on each member's mean loss over its own batch ``labels`` [R, B]."""

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits ``[R, B, classes]`` as in evaluation; more where the inputs are filled up at the end."""

    def state(self) -> dict[str, Tensor]:
        """Return parameters and buffers as they are now, in full."""


@runtime_checkable
class ResumableEngine(Engine, Protocol):
    """An engine from whose progress another can go on. Fully connected networks train for minutes and have none."""

    def progress(self) -> dict[str, Tensor]:
        """Return all that later steps depend on, stacked."""

    def restore(self, progress: Tensors, steps: int) -> None:
        """Go on from the progress after ``steps`` steps."""


class AutogradEngine:
    """Any network, by autograd."""

    copied_columns = 0
    evaluated_at_once: int | None = None

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

    def examples(self, pictures: AnyPictures, places: Tensor) -> ExampleSource:
        """Return the members' examples."""
        return pictures.of(places)

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

    def progress(self) -> dict[str, Tensor]:
        """Return all that later steps depend on: tensors by their names, the optimiser's by its own before them."""
        kept = {f"{kind}/{name}": tensor for kind, tensors in self._rule.state().items()
                for name, tensor in zip(self._trained, tensors, strict=True)}  # fmt: skip
        return {f"tensor/{name}": tensor for name, tensor in self.state().items()} | kept

    @torch.no_grad()
    def restore(self, progress: Tensors, steps: int) -> None:
        """Go on from the progress after ``steps`` steps."""
        for name, tensor in self.state().items():
            tensor.copy_(progress[f"tensor/{name}"])
        kinds = dict.fromkeys(name.partition("/")[0] for name in progress)
        state = {kind: [progress[f"{kind}/{name}"] for name in self._trained] for kind in kinds if kind != "tensor"}
        self._rule.restore(state, steps)
