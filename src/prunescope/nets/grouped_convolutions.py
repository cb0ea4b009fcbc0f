"""Operations for R members as one network of R times the channels, grouped so that members never touch.

Pictures lie as ``[B, R x channels, H, W]``, channels last in memory, so that one batch normalisation serves all
members. Where a member has few channels the processor's vectors would stay half empty; then several members share a
group whose weights are zero between them (`pack`). torch computes everything, on any device.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

MOMENTUM = 0.1  # of the running statistics, as torch's default
EPSILON = 1e-5
# Channels that one group is filled up to: what a vector of floats holds.
_PACKED_CHANNELS = 16 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 8


class GroupedConvolutions:
    """Operations on stacked tensors: forward through all members; autograd knows the way back."""

    def __init__(self, tensors: Mapping[str, Tensor], members: int, training: bool, pack: int) -> None:
        self._tensors = tensors
        self._members = members
        self._training = training
        self._pack = pack

    def conv(self, x: Tensor, name: str, out: int, kernel: int = 3, stride: int = 1) -> Tensor:
        weight = self._tensors[f"{name}.weight"]
        pack = _pack(self._pack, self._members, max(out, weight.shape[2]))
        groups = self._members // pack
        if pack > 1:
            apart = weight.new_zeros(groups, pack, out, pack, *weight.shape[2:])
            for member in range(pack):
                apart[:, member, :, member] = weight[member::pack]
            kernels = apart.reshape(groups * pack * out, pack * weight.shape[2], kernel, kernel)
        else:
            kernels = weight.reshape(-1, *weight.shape[2:])
        if kernel == 1 and stride > 1:
            # The same product without a stride of its own: oneDNN's strided 1x1 convolution writes outside its memory
            # on the way back where channels are few (uxlfoundation/oneDNN issue 6035). A pool of single pixels is a
            # slice whose way back keeps the channels last.
            x, stride = F.avg_pool2d(x, 1, stride), 1
        return F.conv2d(x, kernels, stride=stride, padding=kernel // 2, groups=groups)

    def norm(self, x: Tensor, name: str, last: bool = False) -> Tensor:
        del last

        def all_members(kind: str) -> Tensor:
            return self._tensors[f"{name}.{kind}"].view(-1)

        mean, variance = all_members("running_mean"), all_members("running_var")
        return F.batch_norm(
            x, mean, variance, all_members("weight"), all_members("bias"), self._training, MOMENTUM, EPSILON
        )

    def linear(self, x: Tensor, name: str, out: int) -> Tensor:
        del out
        weight, bias = self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"]
        return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))

    def relu(self, x: Tensor) -> Tensor:
        return F.relu_(x)

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y

    def concat(self, x: Tensor, y: Tensor) -> Tensor:
        if self._members == 1:
            return torch.cat([x, y], 1)
        # Joined member by member, with the channels last in memory before and after.
        batch, _, height, width = x.shape
        parts = [part.permute(0, 2, 3, 1).reshape(batch, height, width, self._members, -1) for part in (x, y)]
        return torch.cat(parts, 4).flatten(3).permute(0, 3, 1, 2)

    def max_pool(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2) if min(x.shape[2:]) > 1 else x

    def max_pool_3(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, 2, 1)

    def halve(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2) if min(x.shape[2:]) > 1 else x

    def mean_pool(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)).view(len(x), self._members, -1).transpose(0, 1)

    def flatten(self, x: Tensor) -> Tensor:
        if x.ndim == 3:
            return x
        return x.reshape(len(x), self._members, -1).transpose(0, 1)

    def channels(self, x: Tensor) -> int:
        return x.shape[1] // self._members

    def side(self, x: Tensor) -> int:
        return max(x.shape[2:])


def _pack(wanted: int, members: int, channels: int) -> int:
    """Return how many members share a group: a divisor of their number, and no more than fill a vector."""
    most = min(wanted, max(1, _PACKED_CHANNELS // channels))
    return next(pack for pack in range(most, 0, -1) if members % pack == 0)


def arranged(x: Tensor) -> Tensor:
    """Lay pictures ``[R, B, H, W, C]`` out as ``[B, R x C, H, W]``, channels last in memory."""
    if x.ndim == 3:
        return x
    members, batch, height, width, channels = x.shape
    if members == 1:
        return x[0].contiguous().permute(0, 3, 1, 2)
    together = x.permute(1, 2, 3, 0, 4).reshape(batch, height, width, members * channels)
    return together.permute(0, 3, 1, 2)
