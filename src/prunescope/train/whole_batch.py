"""Lets a network that sees a share of a batch compute as if it saw all of it.

Two operations of a network look beyond one example. Batch normalisation takes statistics over the batch: here over the
shares of all processes, on the way back as well. Dropout draws a number for each value of the batch: here numbers are
drawn for all of it, and those of the share are used. So a network trains as in one process, a user's own module as it
is. Numbers that a module draws in another way (`torch.rand`, inside a fused attention) are drawn by each process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from prunescope.train.ranks import Ranks

_DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d)


class WholeBatch(TorchFunctionMode):
    """Within it normalisations and dropout are those of a whole batch.

    Parameters
    ----------
    examples
        How many the batch has.
    share
        Those that this process computes.
    """

    def __init__(self, ranks: Ranks, examples: int, share: slice) -> None:
        super().__init__()
        self._ranks = ranks
        self._examples, self._share = examples, share

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute normalisations and dropout in our way, everything else as it is."""
        del types
        if func is F.batch_norm:
            return self._norm(*args, **(kwargs or {}))
        if func in _DROPOUTS:
            return self._dropout(func, *args, **(kwargs or {}))
        drawn_alike = func is Tensor.bernoulli_ and not any(isinstance(value, Tensor) for value in args[1:])
        if drawn_alike and self._times(args[0]):
            return args[0].copy_(self._drawn(args[0], lambda whole: whole.bernoulli_(*args[1:], **(kwargs or {}))))
        return func(*args, **(kwargs or {}))

    def _norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training:
            return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
        ones = input.new_ones(input.shape[1], dtype=torch.promote_types(input.dtype, torch.float32))
        scale = ones if weight is None else weight
        shift = torch.zeros_like(ones) if bias is None else bias
        result: Tensor
        result, mean, variance, count = _Norm.apply(input, scale, shift, self._ranks, eps)  # type: ignore[no-untyped-call]
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * count / (count - 1)).to(running_var.dtype), momentum)
        return result

    def _times(self, values: Tensor) -> int:
        """Return how many of the first axis belong to each example; 0 where it is no axis of examples."""
        count = self._share.stop - self._share.start
        return values.shape[0] // count if values.ndim and values.shape[0] % count == 0 else 0

    def _drawn(self, like: Tensor, draw: Callable[[Tensor], Tensor]) -> Tensor:
        """Return this share of what is drawn for the whole batch; ``draw`` is given ones to draw into."""
        times = self._times(like)
        whole = like.new_ones(self._examples * times, *like.shape[1:])
        for layout in (torch.channels_last, torch.channels_last_3d):  # numbers are drawn in the order of memory
            if like.ndim == (4 if layout is torch.channels_last else 5) and like.is_contiguous(memory_format=layout):
                whole = whole if like.is_contiguous() else whole.contiguous(memory_format=layout)
        return draw(whole)[self._share.start * times : self._share.stop * times]

    def _dropout(
        self,
        func: Callable[..., Tensor],
        input: Tensor,
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
    ) -> Tensor:
        if not training or not self._times(input):
            return func(input, p, training, inplace)
        factors = self._drawn(input.detach(), lambda whole: func(whole, p, True))
        return input.mul_(factors) if inplace else input * factors


class _Norm(torch.autograd.Function):
    """Batch normalisation over the shares of all processes."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, ranks: Ranks, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what is normalised, the mean and variance over all, and over how many values they are."""
        kind = torch.promote_types(x.dtype, torch.float32)
        values = x.to(kind)
        over = [0, *range(2, x.ndim)]
        variance, mean = torch.var_mean(values, over, correction=0)
        count = mean.new_full((1,), x.numel() // x.shape[1])
        by_rank = mean.new_zeros(ranks.size, 2 * len(mean) + 1, dtype=_sums(x))
        by_rank[ranks.rank] = torch.cat([mean, variance, count])
        ranks.add_up([by_rank])
        means, variances, counts = torch.split(by_rank, [len(mean), len(mean), 1], 1)
        total = counts.sum()
        mean = (counts * means).sum(0) / total
        variance = (counts * (variances + (means - mean) ** 2)).sum(0) / total
        inverse = (variance + epsilon).rsqrt()
        shape = (1, -1, *[1] * (x.ndim - 2))
        factor = inverse.to(kind) * scale.to(kind)
        offset = shift.to(kind) - mean.to(kind) * factor
        ctx.save_for_backward(x, scale, mean.to(kind), inverse.to(kind), total.to(kind))
        ctx.ranks = ranks
        result = (values * factor.view(shape) + offset.view(shape)).to(x.dtype)
        ctx.mark_non_differentiable(mean, variance, total)
        return result, mean, variance, total

    @staticmethod
    def backward(ctx: Any, change: Tensor, *_: object) -> Any:
        """Return derivatives by input, scale and shift; the latter two of this share alone."""
        x, scale, mean, inverse, total = ctx.saved_tensors
        kind, shape, over = mean.dtype, (1, -1, *[1] * (x.ndim - 2)), [0, *range(2, x.ndim)]
        change = change.to(kind)
        normal = (x.to(kind) - mean.view(shape)) * inverse.view(shape)
        by_shift, by_scale = change.sum(over), (change * normal).sum(over)
        alone, times = (values.to(_sums(x), copy=True) for values in (by_shift, by_scale))
        ctx.ranks.add_up([alone, times])
        rest = (alone / total).to(kind).view(shape) + normal * (times / total).to(kind).view(shape)
        by_x = (change - rest) * (inverse * scale.to(kind)).view(shape)
        return by_x.to(x.dtype), by_scale.to(scale.dtype), by_shift.to(scale.dtype), None, None


def _sums(x: Tensor) -> torch.dtype:
    """Return the type that few sums are added up in: double where that costs nothing."""
    return torch.float64 if x.device.type == "cpu" else torch.float32
