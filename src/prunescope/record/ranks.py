"""Several processes that train one model: rank 0 decides, prunes and writes; the others get what it has.

Without `torch.distributed` there is one process, and nothing here costs anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist

from prunescope.errors import PrunescopeError
from prunescope.record.module_state import ModuleState

_T = TypeVar("_T")


def _is_shared() -> bool:
    """Whether several processes train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def is_first() -> bool:
    """Whether this process is the one that decides."""
    return not _is_shared() or dist.get_rank() == 0


def from_first(decide: Callable[[], _T]) -> _T:
    """Return what rank 0 decides; where it fails, all processes do."""
    if not _is_shared():
        return decide()
    message: list[object] = [None, None]
    failure: BaseException | None = None
    if is_first():
        try:
            message = [decide(), None]
        except BaseException as trouble:
            failure = trouble
            message = [None, str(trouble) or type(trouble).__name__]
    dist.broadcast_object_list(message, src=0)
    if failure is not None:
        raise failure
    if message[1] is not None:
        raise PrunescopeError(f"rank 0 failed: {message[1]}")
    return message[0]  # type: ignore[return-value]


def share_state(state: ModuleState) -> None:
    """Give every process the tensors of rank 0."""
    if _is_shared():
        with torch.no_grad():
            for _, tensor in state.tensors():
                # As bytes, since backends do not take all types.
                carried = tensor.detach().clone(memory_format=torch.contiguous_format)
                dist.broadcast(carried.view(-1).view(torch.uint8), src=0)
                tensor.copy_(carried)


def share_bytes(values: np.ndarray, device: torch.device) -> np.ndarray:
    """Return the bytes that rank 0 has."""
    if not _is_shared():
        return values
    carried = torch.from_numpy(values.copy()).to(device)
    dist.broadcast(carried, src=0)
    return carried.cpu().numpy()
