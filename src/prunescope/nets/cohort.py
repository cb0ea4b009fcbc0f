"""A design computed for R members at once, in one of two ways.

Rows of features lie as ``[R, B, features]`` and go through batched products, whichever way. Pictures go through torch's
grouped convolutions (`grouped`), or through convolutions of our own that lay members innermost (`planar`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from prunescope.nets.grouped_convolutions import GroupedConvolutions, arranged
from prunescope.nets.kernels import Kernels, kernels
from prunescope.nets.ops import Design
from prunescope.nets.planar import Planar, innermost


@dataclass(frozen=True)
class Layout:
    """How a cohort of pictures is computed.

    Attributes
    ----------
    together
        Members in one pass; a cohort of more is computed in several.
    pack
        Members that share one group of a convolution, at most; fewer where they fill a vector, or divide the cohort.
    planar
        Compute with members innermost, where this process can: `pack` plays no part then.
    """

    together: int = 1
    pack: int = 1
    planar: bool = False


def logits(
    design: Design,
    depth: int,
    width: float,
    classes: int,
    tensors: Mapping[str, Tensor],
    x: Tensor,
    training: bool,
    layout: Layout,
) -> Tensor:
    """Return the logits ``[R, B, classes]`` of all members.

    Parameters
    ----------
    tensors
        Parameters and buffers by name, the members' stacked: ``[R, ...]``. In training, buffers are updated in place.
    x
        Inputs ``[R, B, H, W, channels]`` for pictures, ``[R, B, features]`` for rows.
    """
    compiled = kernels(x.dtype) if layout.planar and x.ndim == 5 and _plain(x) else None
    passes = []
    for members in _passes(len(x), layout.together, compiled):
        member_tensors = (
            tensors if members == slice(0, len(x)) else {name: tensor[members] for name, tensor in tensors.items()}
        )
        count = members.stop - members.start
        if compiled is None:
            grouped = GroupedConvolutions(member_tensors, count, training, layout.pack)
            passes.append(design(grouped, arranged(x[members]), depth, width, classes))
        else:
            planar = Planar(member_tensors, count, training, compiled)
            passes.append(design(planar, innermost(x[members]), depth, width, classes))
    return passes[0] if len(passes) == 1 else torch.cat(passes)


def _plain(x: Tensor) -> bool:
    return x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


def _passes(members: int, together: int, compiled: Kernels | None) -> Iterator[slice]:
    """Cut a cohort into passes; where they are planar, members of a pass divide a vector."""
    first = 0
    while first < members:
        count = min(together, members - first)
        if compiled is not None:
            count = 1 << (min(count, compiled.lanes).bit_length() - 1)
        yield slice(first, first + count)
        first += count
