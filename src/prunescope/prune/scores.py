"""Scores of weights by name, and one pruning step: weights are ranked by a score, and the lowest go.

A score takes the weights of every prunable layer. It may draw random numbers, or ask the trained network, as SNIP's,
GraSP's and SynFlow's do: one network at a time, in evaluation mode. Normalisations use their running statistics, so how
examples are batched changes nothing but rounding. These three were published for networks before training; here they
rank the weights of a trained one. Sums go batch by batch, so that no more than a batch is in memory.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from prunescope.errors import Fault, InputError, PrunescopeError, clipped, said
from prunescope.nets.cohort import Layout
from prunescope.prune.masks import Masks, keep_highest
from prunescope.study.catalogue import is_import_path
from prunescope.study.import_path import import_function


class Asked(Protocol):
    """What scores need of a network."""

    def logits(self, tensors: Mapping[str, Tensor], x: Tensor, training: bool, layout: Layout) -> Tensor:
        """Return the logits ``[R, B, classes]`` of stacked members."""
        ...


Batches = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""Gives inputs and labels of training examples, batch by batch, the same each time."""


@dataclass(frozen=True)
class Probe:
    """One network and training examples.

    Attributes
    ----------
    tensors
        Parameters and buffers by name, ``[1, ...]`` each.
    masks
        Which prunable weights survive.
    examples
        How many training examples there are.
    ones
        An input of ones, as the network takes it, in a batch of one.
    """

    network: Asked
    tensors: Mapping[str, Tensor]
    masks: Masks
    batches: Batches
    examples: int
    ones: Tensor

    def weights(self) -> dict[str, Tensor]:
        """Return the prunable weights by layer, pruned ones zero: copies that gradients reach."""
        masks = self.masks.by_name()
        weights = {}
        for name, mask in masks.items():
            weight = self.tensors[name][0].detach().clone()
            weights[name] = (weight * torch.from_numpy(mask).to(weight.device, weight.dtype)).requires_grad_()
        return weights

    def logits(self, weights: Mapping[str, Tensor], x: Tensor, others: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the logits ``[B, classes]`` of inputs under these weights, in evaluation mode.

        Parameters
        ----------
        others
            Parameters and buffers ``[1, ...]`` to use instead of the network's own.
        """
        everything = {
            **self.tensors,
            **(others or {}),
            **{name: weight.unsqueeze(0) for name, weight in weights.items()},
        }
        return self.network.logits(everything, x.unsqueeze(0), False, Layout())[0]

    def losses(self, weights: Mapping[str, Tensor]) -> Iterator[Tensor]:
        """Yield each batch's part of the mean cross-entropy over all examples; together they are `loss`."""
        for x, labels in self.batches():
            yield F.cross_entropy(self.logits(weights, x), labels, reduction="sum") / self.examples

    def loss(self, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the mean cross-entropy over all examples."""
        return torch.stack(list(self.losses(weights))).sum()


def gradient(probe: Probe) -> dict[str, Tensor]:
    """Score by ``|w dL/dw|``, what removing a weight changes in the loss to first order (SNIP, Lee et al. 2019)."""
    weights = probe.weights()
    slope = _slope(probe, weights)
    return {name: (weight * slope[name]).detach().abs() for name, weight in weights.items()}


def gradient_flow(probe: Probe) -> dict[str, Tensor]:
    """Score by ``w (H g)``: what removing a weight takes, to first order, from half the gradient's squared norm.

    GraSP (Wang et al. 2020) calls ``S = -w (H g)`` and removes the weights with the highest ``S``: those that the
    gradient flow needs least. Scores here keep the highest, hence the other sign.
    """
    weights = probe.weights()
    slope = _slope(probe, weights)
    names = list(weights)
    curved = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for loss in probe.losses(weights):
        gradients = torch.autograd.grad(
            loss, [weights[name] for name in names], create_graph=True, materialize_grads=True
        )
        along = torch.stack(
            [(gradient * slope[name]).sum() for name, gradient in zip(names, gradients, strict=True)]
        ).sum()
        second = torch.autograd.grad(along, [weights[name] for name in names], materialize_grads=True)
        for name, values in zip(names, second, strict=True):
            curved[name] += values
    return {name: (weight * curved[name]).detach() for name, weight in weights.items()}


def _slope(probe: Probe, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the gradient of the mean loss over all examples."""
    names = list(weights)
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for loss in probe.losses(weights):
        gradients = torch.autograd.grad(loss, [weights[name] for name in names], materialize_grads=True)
        for name, gradient in zip(names, gradients, strict=True):
            total[name] += gradient.detach()
    return {name: gradient.detach() for name, gradient in total.items()}


ROUNDS = 100
"""Small steps in which one pruning step is taken, scores computed anew at each, as its authors do."""


def synaptic_flow(probe: Probe) -> dict[str, Tensor]:
    """Score by ``|w| dR/d|w|``, with R the sum of the outputs of an input of ones; in double precision."""
    weights = {name: weight.detach().double().abs().requires_grad_() for name, weight in probe.weights().items()}
    others = {name: _positive(name, values) for name, values in probe.tensors.items() if name not in weights}
    flow = probe.logits(weights, probe.ones.double(), others).sum()
    gradients = torch.autograd.grad(flow, list(weights.values()), materialize_grads=True)
    return {
        name: (weight * gradient).detach() for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
    }


def _positive(name: str, values: Tensor) -> Tensor:
    """Return a parameter or buffer without its sign; shifts, by the names that torch gives them, as zero."""
    if not values.is_floating_point():
        return values
    shift = name.endswith((".bias", ".running_mean"))
    return torch.zeros_like(values, dtype=torch.float64) if shift else values.detach().double().abs()


Arrays = Mapping[str, np.ndarray]
Draws = Callable[[], np.random.Generator]
Ask = Callable[[], Probe]
Rank = Callable[[Arrays, Draws, Ask], dict[str, np.ndarray]]
"""From the weights by layer, chance, and the network to ask, to a score for each weight."""


@dataclass(frozen=True)
class Score:
    """How weights are ranked.

    Attributes
    ----------
    rounds
        Steps in which one pruning step is taken, weights ranked anew at each.
    asks
        Whether it asks the network.
    """

    rank: Rank
    rounds: int = 1
    asks: bool = False


def _magnitude(weights: Arrays, draws: Draws, ask: Ask) -> dict[str, np.ndarray]:
    """Score by absolute value."""
    del draws, ask
    return {name: np.abs(values) for name, values in weights.items()}


def random(weights: Arrays, draws: Draws, ask: Ask) -> dict[str, np.ndarray]:
    """Score by chance."""
    del ask
    drawn = draws()
    return {name: drawn.random(values.shape) for name, values in weights.items()}


def _asking(measure: Callable[[Probe], Mapping[str, Tensor]]) -> Rank:
    """Return a score that goes by the network alone."""

    def rank(weights: Arrays, draws: Draws, ask: Ask) -> dict[str, np.ndarray]:
        del draws
        scores = measure(ask())
        return {name: scores[name].cpu().numpy() for name in weights}

    return rank


SCORES: dict[str, Score] = {
    "magnitude": Score(_magnitude),
    "random": Score(random),
    "gradient": Score(_asking(gradient), asks=True),
    "gradient-flow": Score(_asking(gradient_flow), asks=True),
    "synaptic-flow": Score(_asking(synaptic_flow), ROUNDS, asks=True),
}


def score(name: str) -> Score:
    """Return a score by its name, or a user's own by import path: ``package.module:function``.

    A user's function takes the weights by layer, and the network to ask where it has a parameter called ``probe``.
    """
    if name in SCORES:
        return SCORES[name]
    if is_import_path(name):
        return score_of(import_function(name), name)
    must = f"must be one of {', '.join(SCORES)}, or package.module:function"
    raise InputError("pruning", [Fault("score", must, clipped(name))])


def score_of(function: Callable[..., object], path: str) -> Score:
    """Return the score of a user's function; ``path`` is what messages call it."""
    asks = "probe" in inspect.signature(function).parameters

    def rank(weights: Arrays, draws: Draws, ask: Ask) -> dict[str, np.ndarray]:
        del draws
        more = {"probe": ask()} if asks else {}
        try:
            result = function(dict(weights), **more)
        except Exception as trouble:
            raise PrunescopeError(f"{path} failed: {said(trouble)}") from trouble
        if not isinstance(result, Mapping) or set(result) != set(weights):
            raise InputError("pruning", [Fault(path, "must return one array for each layer it is given")])
        scores = {name: _array(result[name]) for name in weights}
        for name, values in weights.items():
            if scores[name].shape != values.shape:
                must = f"must return scores of shape {values.shape} for {name}"
                raise InputError("pruning", [Fault(path, must, str(scores[name].shape))])
        return scores

    return Score(rank, asks=asks)


def _array(values: object) -> np.ndarray:
    plain = values.detach().cpu().double().numpy() if isinstance(values, Tensor) else values
    return np.asarray(plain, float)


def nobody_to_ask(masks: Masks) -> Probe:
    """Refuse to be asked."""
    del masks
    raise PrunescopeError("this score asks the network, and there is none to ask")


def prune(
    masks: Masks,
    weights: Mapping[str, np.ndarray],
    *,
    keep: Callable[[int], int],
    by: str | Score,
    scope: str,
    draws: Draws,
    probe: Callable[[Masks], Probe] = nobody_to_ask,
) -> Masks:
    """Return the masks after a pruning step: exactly ``keep(N)`` of the N prunable weights survive.

    A score that ranks anew in several rounds comes there by equal factors from round to round.

    Parameters
    ----------
    weights
        Trained weights by the layers' names.
    keep
        How many survive of that many: of the network's, or of a layer's where the scope is ``layer``.
    by
        A score, or its name: of `scores.SCORES`, or a user's own by import path.
    scope
        ``global``: ranks over the whole network; ``layer``: each layer keeps its own share.
    draws
        Gives what a score draws from, where it draws.
    probe
        Gives the network under masks, for a score that asks it.
    """
    ranked = score(by) if isinstance(by, str) else by
    layers = {layer.name: weights[layer.name] for layer in masks.layers}
    sizes = [masks.prunable] if scope == "global" else [layer.size for layer in masks.layers]
    first = _counts(masks, sizes)
    last = [keep(size) for size in sizes]
    for round_ in range(1, ranked.rounds + 1):
        now = masks
        by_layer = ranked.rank(layers, draws, lambda now=now: probe(now))  # type: ignore[misc]
        scores = np.concatenate([by_layer[layer.name].reshape(-1) for layer in masks.layers])
        counts = [_between(*ends, round_, ranked.rounds) for ends in zip(first, last, strict=True)]
        edges = np.cumsum(sizes)[:-1]
        groups = zip(np.split(scores, edges), np.split(masks.flat, edges), counts, strict=True)
        masks = Masks(masks.layers, np.concatenate([keep_highest(*group) for group in groups]))
    return masks


def _counts(masks: Masks, sizes: list[int]) -> list[int]:
    """Return how many weights survive in each part that is ranked for itself."""
    return [int(np.count_nonzero(group)) for group in np.split(masks.flat, np.cumsum(sizes)[:-1])]


def _between(first: int, last: int, round_: int, rounds: int) -> int:
    """Return the count after some of several parts of the way from one count to a lower one."""
    if round_ == rounds or not first:
        return last
    left: float = (last / first) ** (round_ / rounds)
    return max(last, round(first * left))
