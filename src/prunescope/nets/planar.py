"""Operations for R members at once on pictures ``[B, channels, H, W, R]``, members innermost, by kernels of our own.

Lanes of the processor's vectors are members of neighbouring pixels, all full however narrow a network is. A
convolution waits for what follows it: normalisation, what is added, ReLU; all of them are one pass through memory or
two, and one step of autograd. What the kernels are not made for goes the way of `grouped`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from prunescope.nets.grouped_convolutions import EPSILON, MOMENTUM, GroupedConvolutions
from prunescope.nets.kernels import Kernels, Shape


@dataclass(frozen=True)
class _Waiting:
    """A convolution of ``x`` that is not computed yet, with what has been asked of its result so far."""

    x: Tensor
    name: str
    out: int
    kernel: int
    stride: int
    norm: str | None = None
    past: Tensor | None = None


_Value = Tensor | _Waiting


class Planar:
    """Operations on stacked tensors of R members; R divides the lanes of a vector.

    Parameters
    ----------
    tensors
        Parameters and buffers by name, ``[R, ...]``; in training, buffers are updated in place.
    """

    def __init__(self, tensors: Mapping[str, Tensor], members: int, training: bool, compiled: Kernels) -> None:
        self._tensors = tensors
        self._members = members
        self._training = training
        self._compiled = compiled
        self._grouped = GroupedConvolutions(tensors, members, training, 1)

    def conv(self, x: _Value, name: str, out: int, kernel: int = 3, stride: int = 1) -> _Value:
        return _Waiting(self._done(x), name, out, kernel, stride)

    def norm(self, x: _Value, name: str, last: bool = False) -> _Value:
        del last
        if isinstance(x, _Waiting) and x.norm is None:
            return replace(x, norm=name)
        return _inward(self._grouped.norm(_outward(self._done(x)), name), self._members)

    def add(self, x: _Value, y: _Value) -> _Value:
        if not isinstance(y, _Waiting):
            x, y = y, x
        if isinstance(y, _Waiting) and y.norm is not None and y.past is None:
            return replace(y, past=self._done(x))
        return self._done(x) + self._done(y)

    def relu(self, x: _Value) -> Tensor:
        return self._done(x, cut=True)

    def linear(self, x: Tensor, name: str, out: int) -> Tensor:
        return self._grouped.linear(x, name, out)

    def concat(self, x: _Value, y: _Value) -> Tensor:
        return torch.cat([self._done(x), self._done(y)], 1)

    def max_pool(self, x: _Value) -> Tensor:
        x = self._done(x)
        return F.max_pool3d(x, (2, 2, 1)) if min(x.shape[2:4]) > 1 else x

    def max_pool_3(self, x: _Value) -> Tensor:
        return F.max_pool3d(self._done(x), (3, 3, 1), (2, 2, 1), (1, 1, 0))

    def halve(self, x: _Value) -> Tensor:
        x = self._done(x)
        return F.avg_pool3d(x, (2, 2, 1)) if min(x.shape[2:4]) > 1 else x

    def mean_pool(self, x: _Value) -> Tensor:
        return self._done(x).mean((2, 3)).permute(2, 0, 1)

    def flatten(self, x: _Value) -> Tensor:
        x = self._done(x)
        return x if x.ndim == 3 else x.permute(4, 0, 1, 2, 3).flatten(2)

    def channels(self, x: _Value) -> int:
        return x.out if isinstance(x, _Waiting) else x.shape[1]

    def side(self, x: Tensor) -> int:
        return max(x.shape[2:4])

    def _done(self, x: _Value, cut: bool = False) -> Tensor:
        """Compute what waits; ``cut`` off below zero."""
        if not isinstance(x, _Waiting):
            return x.relu() if cut else x
        shape = _shape(x)
        if x.norm is not None and self._made_for(shape):
            norm = [self._tensors[f"{x.norm}.{kind}"] for kind in ("weight", "bias", "running_mean", "running_var")]
            weight = self._tensors[f"{x.name}.weight"]
            result: Tensor = _Unit.apply(  # type: ignore[no-untyped-call]
                x.x, weight, *norm[:2], x.past, norm[2:], shape, cut, self._training, self._compiled
            )
            return result
        y = self._grouped.conv(_outward(x.x), x.name, x.out, x.kernel, x.stride)
        if x.norm is not None:
            y = self._grouped.norm(y, x.norm)
        y = _inward(y, self._members)
        y = y if x.past is None else y + x.past
        return y.relu() if cut else y

    def _made_for(self, shape: Shape) -> bool:
        """Tell whether the kernels are made for a convolution; a spread needs more than one pixel of a channel."""
        return self._compiled.takes(shape) and shape.batch * shape.pixels_after > shape.members


def innermost(x: Tensor) -> Tensor:
    """Lay pictures ``[R, B, H, W, C]`` out as ``[B, C, H, W, R]``."""
    return x.permute(1, 4, 2, 3, 0).contiguous()


def _outward(x: Tensor) -> Tensor:
    """Lay ``[B, C, H, W, R]`` out as `grouped` has it: ``[B, R x C, H, W]``, channels last."""
    return x.permute(0, 4, 1, 2, 3).flatten(1, 2).contiguous(memory_format=torch.channels_last)


def _inward(x: Tensor, members: int) -> Tensor:
    return x.view(len(x), members, -1, *x.shape[2:]).permute(0, 2, 3, 4, 1).contiguous()


def _shape(x: _Waiting) -> Shape:
    batch, channels, height, width, members = x.x.shape
    return Shape(batch, channels, x.out, height, width, x.kernel, x.stride, members)


class _Unit(torch.autograd.Function):
    """Convolution, batch normalisation, what is added to it, ReLU."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        scale: Tensor,
        shift: Tensor,
        past: Tensor | None,
        running: list[Tensor],
        shape: Shape,
        cut: bool,
        training: bool,
        compiled: Kernels,
    ) -> Tensor:
        """Return ``relu(norm(conv(x)) + past)``, ``[B, out, H, W, R]``; ReLU only where ``cut``."""
        x, weight = x.contiguous(), weight.contiguous()
        lanes, members, high, wide = compiled.lanes, shape.members, shape.height // shape.stride, shape.width
        before = x.new_empty(shape.batch, shape.out, high, wide // shape.stride, members)
        moments = torch.zeros(shape.out, 3, lanes, dtype=torch.float64) if training else None
        compiled.forward(shape, x, weight, before, moments)
        count = before[:, 0, ..., 0].numel()
        if moments is None:
            mean, variance = (values.t().double() for values in running)
        else:
            # Each lane of each picture has a mean; lanes' own spread and that of their means add up.
            per_lane, lane_count = count // (shape.batch * lanes // members), shape.batch * lanes // members
            total, squares, spread = moments.view(shape.out, 3, -1, members).sum(2).unbind(1)
            mean = total / lane_count
            variance = (spread + per_lane * (squares - lane_count * mean * mean)) / count
            running[0].lerp_(mean.t().to(x.dtype), MOMENTUM)
            running[1].lerp_((variance * count / (count - 1)).t().to(x.dtype), MOMENTUM)
        inverse = (variance + EPSILON).rsqrt()
        line = _lanes([mean, scale.t() * inverse, shift.t()], x, lanes)
        after = torch.empty_like(before)
        size = before[0, 0].numel()
        past = None if past is None else past.contiguous()
        compiled.normalise(shape.batch, shape.out, size, before, past, line, cut, after)
        ctx.save_for_backward(x, weight, scale, before, after if cut else None, mean, inverse, line)
        ctx.saved = shape, training, compiled
        return after

    @staticmethod
    def backward(ctx: Any, change: Tensor) -> Any:
        """Return derivatives by picture, weight, scale, shift and what was added."""
        x, weight, scale, before, after, mean, inverse, line = ctx.saved_tensors
        shape, training, compiled = ctx.saved
        change = change.contiguous()
        lanes, members, size = compiled.lanes, shape.members, before[0, 0].numel()
        passed = torch.empty_like(change) if ctx.needs_input_grad[4] else None
        sums = torch.zeros(shape.out, 2, lanes, dtype=torch.float64)
        compiled.reduce(shape.batch, shape.out, size, change, after, before, line, passed, sums)
        alone, times = sums.view(shape.out, 2, -1, members).sum(2).unbind(1)
        factor = scale.t() * inverse
        count = before[:, 0, ..., 0].numel()
        if training:
            parts = [mean, factor, -factor * inverse**2 * times / count, -factor * alone / count]
        else:
            parts = [mean, factor, torch.zeros_like(factor), torch.zeros_like(factor)]
        by_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        total = x.new_zeros(shape.out, shape.channels, shape.kernel, shape.kernel, lanes)
        upstream = (change, after) if passed is None else (passed, None)
        compiled.backward(shape, x, weight, *upstream, before, _lanes(parts, x, lanes), by_x, total)
        by_weight = total.view(*total.shape[:4], -1, members).sum(4).permute(4, 0, 1, 2, 3)
        by_scale, by_shift = ((values.t().to(x.dtype)) for values in (times * inverse, alone))
        return by_x, by_weight, by_scale, by_shift, passed, None, None, None, None, None


def _lanes(values: list[Tensor], like: Tensor, lanes: int) -> Tensor:
    """Spread values ``[out, R]`` over the lanes of a vector: ``[out, len(values), lanes]``."""
    together = torch.stack(values, 1)
    return together.repeat(1, 1, lanes // together.shape[2]).to(like.dtype)
