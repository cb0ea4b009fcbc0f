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
from prunescope.train.loss_scaling import LossScaling
from prunescope.train.pictures import AnyPictures, ExampleSource
from prunescope.train.ranks import Ranks, cut
from prunescope.train.whole_batch import WholeBatch

BETAS = (0.9, 0.999)
EPSILON = 1e-8
HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
SCALING = "scaling"  # before the names of what is kept of the losses' scales


class Optimizer(Protocol):
    """Changes parameters in place."""

    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        """Take one step; the gradients are used up."""

    def state(self) -> dict[str, list[Tensor]]:
        """Return what a step leaves to the next, for each parameter; nothing before the first step."""

    def restore(self, state: Mapping[str, Sequence[Tensor]], steps: int) -> None:
        """Go on from what ``steps`` steps have left."""

    def missed(self, steps: Tensor) -> None:
        """Take note of how many of the steps so far each member has not taken, ``[R]``."""


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

    def missed(self, steps: Tensor) -> None:
        """Do nothing: a step does not depend on how many were before."""


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
        self._missed: Tensor | None = None  # steps that each member has not taken; None: none

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
        if self._missed is None:
            torch._foreach_div_(below, (1 - second**self._steps) ** 0.5)
            torch._foreach_add_(below, EPSILON)
            torch._foreach_addcdiv_(parameters, self._mean, below, -rate / (1 - first**self._steps))
        else:
            steps = (self._steps - self._missed).clamp(min=1).double()
            for parameter, mean, root in zip(parameters, self._mean, below, strict=True):
                shape = (-1, *[1] * (parameter.ndim - 1))
                root.div_((1 - second**steps).sqrt().view(shape).to(root)).add_(EPSILON)
                parameter.sub_((rate / (1 - first**steps)).view(shape).to(root) * mean / root)
        self._masked.zero_pruned()

    def state(self) -> dict[str, list[Tensor]]:
        """Return what a step leaves to the next, for each parameter."""
        return {"mean": self._mean, "square": self._square}

    def restore(self, state: Mapping[str, Sequence[Tensor]], steps: int) -> None:
        """Go on from what ``steps`` steps have left."""
        self._steps = steps
        for name, values in (("mean", self._mean), ("square", self._square)):
            torch._foreach_copy_(values, list(state[name]))

    def missed(self, steps: Tensor) -> None:
        """Take note of how many of the steps so far each member has not taken, ``[R]``: means are corrected by that."""
        self._missed = steps if bool(steps.any()) else None


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


Tensors = Mapping[str, Tensor]


class Engine(Protocol):
    """R members in training, their tensors stacked ``[R, ...]``."""

    copied_columns: int
    """How many values of each example `examples` copies; 0 where it copies none."""

    evaluated_at_once: int | None
    """How many examples are best evaluated at once; None: as many as there is room for."""

    parts: int
    """Into how many parts a step cuts its batch."""

    def examples(self, pictures: AnyPictures, places: Tensor) -> ExampleSource:
        """Return the members' examples ``places`` [R, n], laid out as steps take them."""

    def step(self, x: Tensor, labels: Tensor, rate: float, batch: int | None = None) -> None:
        """Take one gradient step on each member's mean loss over its own batch ``labels`` [R, B].

        Parameters
        ----------
        batch
            How many examples the batch has where other processes have some of them.
        """

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
    """Any network, by autograd.

    Parameters
    ----------
    ranks
        The processes that share each batch; None: this one has all of it.
    """

    copied_columns = 0
    evaluated_at_once: int | None = None

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        tensors: Tensors,
        masks: Tensors,
        layout: Layout,
        ranks: Ranks | None = None,
    ) -> None:
        trained = {parameter.name: parameter.trained for parameter in network.outline.parameters}
        self.parts = recipe.accumulate
        self._network = network
        self._layout = layout
        self._ranks = ranks
        self._parameters = {name: tensors[name].clone().requires_grad_(free) for name, free in trained.items()}
        self._buffers = {buffer.name: tensors[buffer.name].clone() for buffer in network.outline.buffers}
        self._trained = {name: values for name, values in self._parameters.items() if trained[name]}
        free = [parameter.detach() for parameter in self._trained.values()]
        self._masks = [masks.get(name) for name in self._trained]
        self._rule = optimizer(recipe, free, self._masks)
        self._most, self._smoothing = recipe.clip_norm, recipe.label_smoothing
        self._half = HALVES.get(recipe.precision)
        self._scaling = LossScaling(free) if self._half is torch.float16 else None

    def examples(self, pictures: AnyPictures, places: Tensor) -> ExampleSource:
        """Return the members' examples."""
        return pictures.of(places)

    def _precision(self, x: Tensor) -> AbstractContextManager[object]:
        return nullcontext() if self._half is None else torch.autocast(x.device.type, self._half)

    def step(self, x: Tensor, labels: Tensor, rate: float, batch: int | None = None) -> None:
        """Take one gradient step; the members' losses are summed, so their gradients stay their own."""
        batch = batch or labels.shape[1]
        gradients, first = list[Tensor](), 0
        for part in cut(batch, self.parts):
            share = part if self._ranks is None else self._ranks.share(part)
            here = slice(first, first + share.stop - share.start)
            first = here.stop
            slopes = self._slopes(x[:, here], labels[:, here], part, share, batch)
            if gradients:
                torch._foreach_add_(gradients, slopes)
            else:
                gradients = slopes
        if self._ranks is not None:
            self._ranks.add_up(gradients)
        if self._scaling is None:
            self._update(gradients, rate)
        else:
            self._scaling.step(gradients, self._rule, lambda: self._update(gradients, rate))

    def _update(self, gradients: list[Tensor], rate: float) -> None:
        if self._most:
            clip(gradients, self._masks, self._most)
        self._rule.step(gradients, rate)

    def _slopes(self, x: Tensor, labels: Tensor, part: slice, share: slice, batch: int) -> list[Tensor]:
        """Return what some examples add to the gradients of the mean losses over a batch.

        Parameters
        ----------
        part, share
            The examples in the batch that are computed together, and those of them that this process computes: all,
            where there are fewer than processes.
        """
        copies = 1
        whole: AbstractContextManager[object] = nullcontext()
        if self._ranks is not None and share != part:
            whole = WholeBatch(
                self._ranks, part.stop - part.start, slice(share.start - part.start, share.stop - part.start)
            )
        elif self._ranks is not None:
            copies = self._ranks.size
        with whole, self._precision(x):
            logits = self._network.logits({**self._parameters, **self._buffers}, x, True, self._layout)
        flat = logits.reshape(-1, logits.shape[-1])
        losses = F.cross_entropy(
            flat if flat.dtype == torch.float64 else flat.float(),
            labels.reshape(-1),
            reduction="sum" if self._scaling is None else "none",
            label_smoothing=self._smoothing,
        )
        loss = losses if self._scaling is None else self._scaling.scaled(losses.view_as(labels).sum(1))
        parameters = list(self._trained.values())
        slopes = torch.autograd.grad(loss / (batch * copies), parameters, allow_unused=True)
        pairs: Iterable[tuple[Tensor, Tensor | None]] = zip(parameters, slopes, strict=True)
        return [torch.zeros_like(parameter) if gradient is None else gradient for parameter, gradient in pairs]

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
        scaling = {} if self._scaling is None else self._scaling.state()
        kept |= {f"{SCALING}/{name}": tensor for name, tensor in scaling.items()}
        return {f"tensor/{name}": tensor for name, tensor in self.state().items()} | kept

    @torch.no_grad()
    def restore(self, progress: Tensors, steps: int) -> None:
        """Go on from the progress after ``steps`` steps."""
        for name, tensor in self.state().items():
            tensor.copy_(progress[f"tensor/{name}"])
        kinds = dict.fromkeys(name.partition("/")[0] for name in progress)
        rules = [kind for kind in kinds if kind not in ("tensor", SCALING)]
        self._rule.restore({kind: [progress[f"{kind}/{name}"] for name in self._trained] for kind in rules}, steps)
        if self._scaling is not None:
            scaling = {name: values for name, values in progress.items() if name.startswith(f"{SCALING}/")}
            self._scaling.restore({name.partition("/")[2]: values for name, values in scaling.items()}, self._rule)
