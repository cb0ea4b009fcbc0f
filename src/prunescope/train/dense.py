"""Fully connected networks: the cohort's steps written out, forward and back, into memory that is there already.

The same mathematics as `engine.General` finds through autograd, without its bookkeeping, which would cost more than the
arithmetic of small networks.

What pruning has cut off is left out (`Compact`). A unit that no path of surviving weights leaves cannot change an
output: it is left out. A unit that no path reaches from the input has the same output for every example, since only its
bias feeds it; such constant units are computed once for a whole batch, in a stream beside the examples. Both keep what
they would have had: left-out weights only decay, and constant units are trained like the rest.

In bfloat16 products take and give numbers of that type, as under torch's autocast; parameters, their gradients and the
loss stay as they are, and nothing is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunescope.nets import Network
from prunescope.study.sections import Recipe
from prunescope.train.engine import Tensors, clip, decayed, optimizer
from prunescope.train.pictures import AnyPictures, ExampleSource
from prunescope.train.ranks import Ranks

Flags = NDArray[np.bool_]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Units:
    """Units of one level of a network, chosen member by member and filled up to one number.

    Attributes
    ----------
    places
        ``[R, k]``, which units.
    real
        ``[R, k]``, False where a place is only there to fill up.
    """

    places: Places
    real: Flags

    @property
    def count(self) -> int:
        """How many there are in each member, fillers included."""
        return int(self.places.shape[1])


@dataclass(frozen=True)
class Remaining:
    """What is left of a cohort of fully connected networks.

    Attributes
    ----------
    changing
        At each level, from the input to the output: units on a path from the input to an output.
    constant
        At each level: units whose output is the same for all examples and that an output depends on.
    """

    changing: tuple[Units, ...]
    constant: tuple[Units, ...]

    @property
    def multiplications(self) -> int:
        """Of one example's way through one member."""
        sizes = [units.count for units in self.changing]
        return sum(a * b for a, b in pairwise(sizes))


def remaining(masks: Sequence[Flags]) -> Remaining:
    """Find what is left.

    Parameters
    ----------
    masks
        One for each layer, ``[R, out, in]``, True where a weight survives.
    """
    members, _, inputs = masks[0].shape
    way_in: list[Flags] = [np.ones((members, inputs), bool)]
    for mask in masks:
        way_in.append(np.any(mask & way_in[-1][:, None, :], axis=2))
    way_out: list[Flags] = [np.ones((members, masks[-1].shape[1]), bool)]
    for mask in reversed(masks):
        way_out.insert(0, np.any(mask & way_out[0][:, :, None], axis=1))
    # An output is computed whether or not anything reaches it.
    way_in[-1] = np.ones_like(way_in[-1])
    changing = [_chosen(a & b, 1) for a, b in zip(way_in, way_out, strict=True)]
    constant = [_chosen(~a & b, 0) for a, b in zip(way_in, way_out, strict=True)]
    return Remaining(tuple(changing), tuple(constant))


def _chosen(flags: Flags, least: int) -> Units:
    """Return the places of flags, filled up with place 0 to the most of any member."""
    counts = flags.sum(1)
    most = max(least, int(counts.max()))
    places = np.argsort(~flags, axis=1, kind="stable")[:, :most]
    real = np.arange(most)[None, :] < counts[:, None]
    return Units(np.where(real, places, 0), real)


# Leaving out pays where it saves this share of the multiplications, and where there are so many of them that gathering
# each member's own columns costs less. `make bench` shows the gain at low density; the bounds are a choice.
WORTH_SAVING = 0.25
WORTH_TRYING = 20_000


@dataclass
class _Layer:
    """One layer's tensors: ``weight`` [R, out, in] and ``bias`` [R, out], with those of constant units apart.

    ``from_constant`` leads from the constant units below to this layer, ``inside`` among constant units, whose own
    biases are ``constant_bias``.
    """

    weight: Tensor
    bias: Tensor
    from_constant: Tensor | None = None
    inside: Tensor | None = None
    constant_bias: Tensor | None = None

    def tensors(self) -> list[Tensor]:
        optional = (self.weight, self.bias, self.from_constant, self.inside, self.constant_bias)
        return [tensor for tensor in optional if tensor is not None]


class _Memory:
    """What one batch leaves behind on its way, for the way back, and room for gradients of its size."""

    def __init__(self, layers: Sequence[_Layer], batch: int, products: torch.dtype) -> None:
        def room(size: int) -> Tensor:
            weight = layers[0].weight
            return weight.new_empty(len(weight), batch, size, dtype=products)

        self.outputs = [room(layer.weight.shape[1]) for layer in layers]
        self.back = [room(layer.weight.shape[2]) for layer in layers[1:]]


class DenseEngine:
    """R fully connected networks in training.

    Parameters
    ----------
    tensors
        Parameters by name, the members' stacked.
    masks
        Masks by name, stacked; layers that are not pruned have none.
    compact
        Leave out what is cut off; None: where that pays.
    ranks
        The processes that share each batch; None: this one has all of it.
    """

    evaluated_at_once: int | None = None
    parts = 1  # a whole batch fits wherever the weights do

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        tensors: Tensors,
        masks: Tensors,
        compact: bool | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self._ranks = ranks
        names = [parameter.name for parameter in network.outline.parameters]
        self._names = [(names[i], names[i + 1]) for i in range(0, len(names), 2)]
        self._full = {name: tensors[name] for name in names}
        self._recipe = recipe
        self._rates: list[float] = []
        self._kind = next(iter(self._full.values())).dtype
        self._half = recipe.precision == "bfloat16"
        self._products = torch.bfloat16 if self._half else self._kind
        leave_out = compact is not False and not self._half
        self._rest = self._left_out(masks) if leave_out and masks else None
        if self._rest is not None and compact is None and not self._pays(network, self._rest):
            self._rest = None
        if self._rest is None:
            self._layers = [_Layer(tensors[weight].clone(), tensors[bias].clone()) for weight, bias in self._names]
            flat_masks = [mask for weight, _ in self._names for mask in (masks.get(weight), None)]
            self.columns: Tensor | None = None
        else:
            self._layers, flat_masks = self._small(self._rest, masks)
            self.columns = torch.from_numpy(self._rest.changing[0].places).to(self._layers[0].weight.device)
        self.copied_columns = 0 if self.columns is None else self.columns.shape[1]
        self._parameters = [tensor for layer in self._layers for tensor in layer.tensors()]
        self._gradients = [torch.empty_like(tensor) for tensor in self._parameters]
        self._masks = flat_masks
        self._rule = optimizer(recipe, self._parameters, flat_masks)
        self._memory: dict[int, _Memory] = {}

    def examples(self, pictures: AnyPictures, places: Tensor) -> ExampleSource:
        """Return the members' examples, and of those the columns that are read."""
        return pictures.of(places, self.columns)

    def _left_out(self, masks: Tensors) -> Remaining | None:
        """Find what is left; None where left-out weights would change in a way that has no closed form."""
        if self._recipe.optimizer == "adam" and self._recipe.weight_decay:
            return None
        every = [masks[weight] if weight in masks else torch.ones_like(self._full[weight]) for weight, _ in self._names]
        return remaining([mask.bool().cpu().numpy() for mask in every])

    def _pays(self, network: Network, rest: Remaining) -> bool:
        full = network.outline.multiplications
        return full >= WORTH_TRYING and rest.multiplications <= (1 - WORTH_SAVING) * full

    def _small(self, rest: Remaining, masks: Tensors) -> tuple[list[_Layer], list[Tensor | None]]:
        """Gather the tensors of what is left, and masks for them."""
        layers, flat_masks = [], []
        for level, (weight, bias) in enumerate(self._names):
            full, offset = self._full[weight], self._full[bias]
            mask = masks.get(weight)

            def block(rows: Units, columns: Units, source: Tensor) -> Tensor:
                return _block(source, rows, columns)

            def open_block(rows: Units, columns: Units, mask: Tensor | None = mask, full: Tensor = full) -> Tensor:
                return _block(torch.ones_like(full) if mask is None else mask, rows, columns)

            below, above = rest.changing[level], rest.changing[level + 1]
            still_below, still_above = rest.constant[level], rest.constant[level + 1]
            layer = _Layer(_block(full, above, below), _row(offset, above))
            layer_masks: list[Tensor | None] = [open_block(above, below), None]
            if still_below.count:
                layer.from_constant = _block(full, above, still_below)
                layer_masks.append(open_block(above, still_below))
            if still_below.count and still_above.count:
                layer.inside = _block(full, still_above, still_below)
                layer_masks.append(open_block(still_above, still_below))
            if still_above.count:
                layer.constant_bias = _row(offset, still_above)
                layer_masks.append(None)
            layers.append(layer)
            flat_masks += layer_masks
        return layers, flat_masks

    def _constants(self) -> list[Tensor | None]:
        """Return the outputs ``[R, 1, k]`` of the constant units of each level, the input's first."""
        constants: list[Tensor | None] = [None]
        for layer in self._layers:
            if layer.constant_bias is None:
                constants.append(None)
                continue
            value = layer.constant_bias.unsqueeze(1)
            below = constants[-1]
            if layer.inside is not None and below is not None:
                value = torch.baddbmm(value, below, layer.inside.transpose(1, 2))
            constants.append(value.relu())
        return constants

    def _in_products(self, values: Tensor) -> Tensor:
        """Return values in the type that products take."""
        return values.to(self._products) if self._half else values

    def _forward(self, x: Tensor, constants: Sequence[Tensor | None], outputs: Sequence[Tensor]) -> Tensor:
        value = self._in_products(x)
        for layer, below, out in zip(self._layers, constants, outputs, strict=False):
            bias = self._in_products(layer.bias).unsqueeze(1)
            if layer.from_constant is not None and below is not None:
                bias = torch.baddbmm(bias, below, layer.from_constant.transpose(1, 2))
            torch.baddbmm(bias, value, self._in_products(layer.weight).transpose(1, 2), out=out)
            value = out.relu_() if layer is not self._layers[-1] else out
        return value

    def step(self, x: Tensor, labels: Tensor, rate: float, batch: int | None = None) -> None:
        """Take one gradient step on each member's mean cross-entropy over its batch."""
        here = x.shape[1]
        if (memory := self._memory.get(here)) is None:
            memory = self._memory.setdefault(here, _Memory(self._layers, here, self._products))
        constants = self._constants()
        logits = self._forward(x, constants, memory.outputs)
        # The cross-entropy's derivative: probabilities, less the target, which is one at the label unless smoothed.
        change = torch.softmax(logits, -1, dtype=self._kind) if self._half else torch.softmax(logits, -1)
        smoothing = self._recipe.label_smoothing
        change.scatter_add_(
            -1, labels.unsqueeze(-1), change.new_full((1, 1, 1), smoothing - 1).expand(*labels.shape, 1)
        )
        if smoothing:
            change.sub_(smoothing / change.shape[-1])
        batch = batch or here  # one with fewer examples than processes is computed whole by each of them
        change.mul_(1 / (batch * (self._ranks.size if self._ranks is not None and here == batch else 1)))
        gradients = iter(self._backward(self._in_products(x), self._in_products(change), constants, memory))
        for room, gradient in zip(self._gradients, gradients, strict=True):
            if gradient is not room:
                room.copy_(gradient)
        if self._ranks is not None:
            self._ranks.add_up(self._gradients)
        if self._recipe.clip_norm:
            clip(self._gradients, self._masks, self._recipe.clip_norm)
        if self._rest is not None:
            self._rates.append(rate)
        self._rule.step(self._gradients, rate)

    def _backward(self, x: Tensor, change: Tensor, constants: Sequence[Tensor | None], memory: _Memory) -> list[Tensor]:
        """Return gradients in the order of the parameters, most of them written where they are kept."""
        gradients: list[Tensor] = []
        place = len(self._gradients)
        still: Tensor | None = None  # derivative by the outputs of the constant units above
        for level in reversed(range(len(self._layers))):
            layer = self._layers[level]
            below, above = constants[level], constants[level + 1]
            place -= len(layer.tensors())
            weight, bias = self._gradients[place : place + 2]
            value = x if level == 0 else memory.outputs[level - 1]
            if self._half:
                weight = torch.bmm(change.transpose(1, 2), value)
                torch.sum(change, 1, dtype=self._kind, out=bias)
            else:
                torch.bmm(change.transpose(1, 2), value, out=weight)
                torch.sum(change, 1, out=bias)
            layer_gradients = [weight, bias]
            still_below: Tensor | None = None
            if layer.from_constant is not None and below is not None:
                total = bias.unsqueeze(1)
                layer_gradients.append(torch.bmm(total.transpose(1, 2), below))
                still_below = torch.bmm(total, layer.from_constant)
            if layer.constant_bias is not None and above is not None:
                # Constant units lead nowhere but up: without a way there they would not have been kept.
                passed = still * (above > 0) if still is not None else torch.zeros_like(above)
                if layer.inside is not None and below is not None:
                    layer_gradients.append(torch.bmm(passed.transpose(1, 2), below))
                    through = torch.bmm(passed, layer.inside)
                    still_below = through if still_below is None else still_below + through
                layer_gradients.append(passed.squeeze(1))
            if level > 0:
                back = memory.back[level - 1]
                torch.bmm(change, self._in_products(layer.weight), out=back)
                change = torch.ops.aten.threshold_backward.grad_input(back, value, 0, grad_input=back)
            still = still_below
            gradients = layer_gradients + gradients
        return gradients

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits ``[R, B, classes]``."""
        rooms = _Memory(self._layers, x.shape[1], self._products).outputs
        return self._forward(x, self._constants(), rooms)

    def state(self) -> dict[str, Tensor]:
        """Return parameters in full; what was left out has only decayed."""
        if self._rest is None:
            pairs = zip(self._names, self._layers, strict=True)
            return {name: tensor for names, layer in pairs for name, tensor in zip(names, layer.tensors(), strict=True)}
        rest, shrunk = self._rest, decayed(self._recipe, self._rates)
        state = {}
        for level, ((weight, bias), layer) in enumerate(zip(self._names, self._layers, strict=True)):
            full, offset = self._full[weight] * shrunk, self._full[bias] * shrunk
            below, above = rest.changing[level], rest.changing[level + 1]
            still_below, still_above = rest.constant[level], rest.constant[level + 1]
            _restore(full, layer.weight, above, below)
            _restore_row(offset, layer.bias, above)
            if layer.from_constant is not None:
                _restore(full, layer.from_constant, above, still_below)
            if layer.inside is not None:
                _restore(full, layer.inside, still_above, still_below)
            if layer.constant_bias is not None:
                _restore_row(offset, layer.constant_bias, still_above)
            state[weight], state[bias] = full, offset
        return state


def _places(units: Units, device: torch.device) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(units.places).to(device), torch.from_numpy(units.real).to(device)


def _block(full: Tensor, rows: Units, columns: Units) -> Tensor:
    """Return the weights between some units, member by member; zero where a unit only fills up."""
    row, row_real = _places(rows, full.device)
    column, column_real = _places(columns, full.device)
    member = torch.arange(len(full), device=full.device)[:, None, None]
    taken = full[member, row[:, :, None], column[:, None, :]]
    return torch.where(row_real[:, :, None] & column_real[:, None, :], taken, 0).contiguous()


def _row(full: Tensor, units: Units) -> Tensor:
    place, real = _places(units, full.device)
    return torch.where(real, full.gather(1, place), 0).contiguous()


def _restore(full: Tensor, block: Tensor, rows: Units, columns: Units) -> None:
    """Write weights between some units back to where they came from."""
    for member in range(len(full)):
        row = rows.places[member][rows.real[member]]
        column = columns.places[member][columns.real[member]]
        full[member, row[:, None], column[None, :]] = block[member, : len(row), : len(column)]


def _restore_row(full: Tensor, row: Tensor, units: Units) -> None:
    for member in range(len(full)):
        place: Any = units.places[member][units.real[member]]
        full[member, place] = row[member, : len(place)]
