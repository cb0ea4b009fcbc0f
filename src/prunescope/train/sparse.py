"""Fully connected networks of which few weights are left: steps that cost what these weights cost.

The same mathematics as in `dense`, for the kept weights alone, by kernels of our own (`nets.sparse_kernels`). What a
member keeps lies in one row of a tensor, so the update rules work on it as on any other. A kept weight whose unit leads
to no output has no gradient and is left out of the products; a unit that nothing feeds is a line of equal numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunescope.nets import Network
from prunescope.nets.sparse_kernels import KeptWeights, SparseBatch, SparseKernels, SparseLayer
from prunescope.study.sections import Recipe
from prunescope.train.engine import Tensors, clip, optimizer
from prunescope.train.pictures import AnyPictures, ExampleSource, Pictures

Flags = NDArray[np.bool_]

# Lines of so many units below lie in the fastest cache together, where units above read this share of them at least:
# then all units above go over one block of lines after another. Measured, see `docs/lab.md`.
BLOCK, BLOCKS_FROM = 48, 0.12


@dataclass(frozen=True)
class _Places:
    """Where in a layer's matrix each kept weight of a member is; first those that lead to an output."""

    by_member: tuple[Tensor, ...]

    def gather(self, full: Tensor) -> Tensor:
        """Return the kept weights ``[R, most]``, filled up with zeros."""
        kept = full.new_zeros(len(full), max(1, *map(len, self.by_member)))
        for values, matrix, places in zip(kept, full, self.by_member, strict=True):
            values[: len(places)] = matrix.flatten()[places]
        return kept

    def scatter(self, kept: Tensor, full: Tensor) -> Tensor:
        """Return matrices with kept weights where they belong, and zeros elsewhere."""
        whole = torch.zeros_like(full)
        for matrix, values, places in zip(whole.flatten(1), kept, self.by_member, strict=True):
            matrix[places] = values[: len(places)]
        return whole


class SparseEngine:
    """R fully connected networks in training, of which few weights are left.

    Parameters
    ----------
    tensors
        Parameters by name, the members' stacked.
    masks
        Masks by name, stacked; layers that are not pruned have none.
    """

    copied_columns = 0
    evaluated_at_once: int | None = 128  # inputs of so many stay near the processor
    parts = 1

    def __init__(
        self, network: Network, recipe: Recipe, tensors: Tensors, masks: Tensors, compiled: SparseKernels
    ) -> None:
        names = [parameter.name for parameter in network.outline.parameters]
        self._names = [(names[i], names[i + 1]) for i in range(0, len(names), 2)]
        self._full = {name: tensors[name] for name in names}
        self._recipe, self._compiled = recipe, compiled
        kept = [masks[name] if name in masks else torch.ones_like(tensors[name]) for name, _ in self._names]
        flags = [mask.bool().numpy() for mask in kept]
        leading = _leading(flags)
        columns, read = _read_columns(leading[0])
        self.columns = torch.from_numpy(columns)
        self._layers, self._places = [], []
        for level, (weight, bias) in enumerate(self._names):
            outputs, inputs = leading[level].shape[1], leading[level].shape[2] if level else columns.shape[1]
            where, places = _listed(flags[level], leading[level], inputs, None if level else read)
            values, offset = places.gather(tensors[weight]), tensors[bias].clone()
            self._places.append(places)
            gradients = torch.zeros_like(values), torch.zeros_like(offset)
            self._layers.append(SparseLayer(inputs, outputs, where, values, offset, *gradients))
        self._gradients = [gradient for layer in self._layers for gradient in (layer.by_weight, layer.by_bias)]
        parameters = [tensor for layer in self._layers for tensor in (layer.weight, layer.bias)]
        self._rule = optimizer(recipe, parameters, [None] * len(parameters))
        self._batches: dict[int, SparseBatch] = {}
        threads = min(torch.get_num_threads(), len(columns))
        self._threads = ThreadPoolExecutor(threads) if threads > 1 else None

    def examples(self, pictures: AnyPictures, places: Tensor) -> ExampleSource:
        """Return the members' examples, the columns that are read, examples innermost."""
        assert isinstance(pictures, Pictures)  # noqa: S101 - `TrainingContext.sparse_kernels` sees to it
        return pictures.innermost(places, self.columns, self._compiled)

    def _batch(self, size: int) -> SparseBatch:
        batch = self._batches.get(size)
        return self._batches.setdefault(size, self._compiled.batch(self._layers, size)) if batch is None else batch

    def step(self, x: Tensor, labels: Tensor, rate: float, batch: int | None = None) -> None:
        """Take one gradient step on each member's mean cross-entropy over its batch; ``x`` is [R, k, B filled up].

        The batch is never shared with other processes: these take dense steps.
        """
        del batch
        memory, real = self._batch(x.shape[2]), labels.shape[1]
        logits, change, smoothing = memory.forward(x, self._threads), memory.changes[-1], self._recipe.label_smoothing
        # The cross-entropy's derivative, as in `dense`; examples that only fill a vector have none.
        torch.softmax(logits, 1, out=change)
        target = change.new_full((1, 1, 1), smoothing - 1).expand(len(labels), 1, real)
        change.scatter_add_(1, labels.unsqueeze(1), target)
        if smoothing:
            change.sub_(smoothing / change.shape[1])
        change.mul_(1 / real)
        if x.shape[2] > real:
            change[:, :, real:] = 0
        memory.backward(x, self._threads)
        if self._recipe.clip_norm:
            clip(self._gradients, [None] * len(self._gradients), self._recipe.clip_norm)
        self._rule.step(self._gradients, rate)

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits, of examples that only fill a vector as well."""
        return self._batch(x.shape[2]).forward(x, self._threads).transpose(1, 2).contiguous()

    def state(self) -> dict[str, Tensor]:
        """Return parameters in full."""
        state = {}
        for (weight, bias), places, layer in zip(self._names, self._places, self._layers, strict=True):
            state[weight], state[bias] = places.scatter(layer.weight, self._full[weight]), layer.bias
        return state


def _leading(masks: Sequence[Flags]) -> list[Flags]:
    """Return for each layer ``[R, out, in]`` the kept weights whose unit above leads to an output."""
    leads: Flags = np.ones((len(masks[0]), masks[-1].shape[1]), bool)
    leading: list[Flags] = []
    for mask in reversed(masks):
        leading.insert(0, mask & leads[:, :, None])
        leads = np.any(leading[0], 1)
    return leading


def _read_columns(leading: Flags) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the inputs ``[R, k]`` that members read, filled up with input 0, and each one's place among them."""
    used = leading.any(1)
    counts = used.sum(1)
    columns = np.argsort(~used, axis=1, kind="stable")[:, : max(1, int(counts.max()))]
    columns[np.arange(columns.shape[1]) >= counts[:, None]] = 0
    return columns, used.cumsum(1) - 1


def _listed(masks: Flags, leading: Flags, units: int, read: NDArray[np.int64] | None) -> tuple[KeptWeights, _Places]:
    """List the weights that lead to an output block by block, and by columns except in the first layer.

    Parameters
    ----------
    units
        How many units below there are, of those that are read.
    read
        The place of each unit below among those that are read; None: all are.
    """
    members, outputs, inputs = leading.shape
    in_blocks = units > BLOCK and leading.mean() * inputs >= BLOCKS_FROM * units
    blocks = -(-units // BLOCK) if in_blocks else 1
    most = max(1, int(masks.sum((1, 2)).max()))
    row, column = np.zeros((members, blocks * outputs + 1), np.int32), np.zeros((members, units + 1), np.int32)
    below, above, place = (np.zeros((members, most), np.int32) for _ in range(3))
    by_member = []
    for member, live in enumerate(leading):
        line, unit = np.nonzero(live)
        if read is not None:
            unit = read[member, unit]
        block = unit // BLOCK if in_blocks else np.zeros_like(unit)
        order = np.argsort(block, kind="stable")
        there = np.flatnonzero(live)[order]
        row[member, 1:] = np.bincount(block * outputs + line, minlength=blocks * outputs).cumsum()
        below[member, : len(unit)] = unit[order]
        if read is None:
            column[member, 1:] = live.sum(0).cumsum()
            numbers = np.zeros(live.shape, np.int32)
            numbers.flat[there] = np.arange(len(there))
            place[member, : len(unit)] = numbers.T[live.T]
            above[member, : len(unit)] = np.nonzero(live.T)[1]
        by_member.append(torch.from_numpy(np.concatenate([there, np.flatnonzero(masks[member] & ~live)])))
    back = map(torch.from_numpy, (column, above, place)) if read is None else (None, None, None)
    return KeptWeights(blocks, torch.from_numpy(row), torch.from_numpy(below), *back), _Places(tuple(by_member))
