"""Several processes that train the same networks, each on its share of every batch: what one of them needs to know.

Gradients, and statistics of normalisations, are added up over all of them; everything else each computes for itself, by
the same numbers. Which processes these are, and what they train, is decided elsewhere (`run.data_parallel`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from prunescope.errors import PrunescopeError

_T = TypeVar("_T")


class RankLostError(PrunescopeError):
    """Another process of those that train together does not answer any more."""


@dataclass(frozen=True, eq=False)
class Ranks:
    """A process, this one, among those that train together.

    Attributes
    ----------
    rank, size
        Its number, from 0, and how many there are.
    steps
        The group through which gradients and statistics are added up, where they are computed.
    outcomes
        The group for what is in memory. Both wait some minutes for a process that does not answer.
    idle
        The group that waits however long rank 0 takes to say what to train next.
    """

    rank: int
    size: int
    steps: dist.ProcessGroup
    outcomes: dist.ProcessGroup
    idle: dist.ProcessGroup

    def share(self, examples: slice) -> slice:
        """Return the examples of this process among some; all of them where there are fewer than processes."""
        count = examples.stop - examples.start
        if count < self.size:
            return examples
        first, last = (examples.start + count * rank // self.size for rank in (self.rank, self.rank + 1))
        return slice(first, last)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their sums over all processes, which are the same to the last bit in each."""
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _answering():
            dist.all_reduce(flat, group=self.steps)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def collected(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor in memory over all processes, of which each has filled its share."""
        with _answering():
            dist.all_reduce(tensor, group=self.outcomes)
        return tensor

    def from_first(self, value: _T, patient: bool = False) -> _T:
        """Return what rank 0 has, ``patient`` where it may take its time."""
        message: list[object] = [value]
        with _answering():
            dist.broadcast_object_list(message, src=0, group=self.idle if patient else self.outcomes)
        return message[0]  # type: ignore[return-value]


@contextmanager
def _answering() -> Iterator[None]:
    """Turn what torch says of a connection that broke, or was silent for too long, into an error of its own."""
    try:
        yield
    except RuntimeError as trouble:
        silent = "timed out" in str(trouble).lower()
        raise RankLostError("it was silent for too long" if silent else "its connection broke") from trouble


def cut(examples: int, parts: int) -> list[slice]:
    """Cut a batch into so many parts, as even as can be; into fewer where it has fewer examples."""
    parts = min(parts, examples)
    bounds = [examples * part // parts for part in range(parts + 1)]
    return [slice(first, last) for first, last in pairwise(bounds)]


def positions(examples: int, parts: int, ranks: Ranks | None) -> slice | Tensor:
    """Return which examples of a batch this process takes, where the batch is cut into parts and each is shared."""
    if ranks is None:
        return slice(0, examples)
    shares = [ranks.share(part) for part in cut(examples, parts)]
    return torch.cat([torch.arange(share.start, share.stop) for share in shares])
