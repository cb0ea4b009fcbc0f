"""Which devices train each network: those that a run names, or those of the processes that torchrun has started.

torchrun starts the same command several times, on one machine or on many, and tells each process its place by its
environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from prunescope.errors import PrunescopeError
from prunescope.run.data_parallel import STEP_TIMEOUT, join
from prunescope.train.ranks import Ranks

_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


@dataclass(frozen=True)
class TorchrunPlace:
    """The place of this process among those of torchrun.

    Attributes
    ----------
    rank, size
        Among all.
    local_rank, local_size
        Among those of this machine.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int

    def join(self, device: str) -> Ranks:
        """Meet the others."""
        return join(self.rank, self.size, None, device, STEP_TIMEOUT)


def torchrun_place(environment: Mapping[str, str] = os.environ) -> TorchrunPlace | None:
    """Return the place of this process; None where torchrun has not started it, or it alone."""
    if "TORCHELASTIC_RUN_ID" not in environment or int(environment["WORLD_SIZE"]) < 2:
        return None
    return TorchrunPlace(*(int(environment[name]) for name in _NAMES))


def devices_of(device: str, processes: int, place: TorchrunPlace | None) -> list[str]:
    """Return the device of each process that trains, this one's first.

    Parameters
    ----------
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:1``; with several processes also one for each, with commas between.
    """
    if processes < 1:
        raise PrunescopeError(f"{processes} processes cannot train: it takes 1 or more")
    there = torch.cuda.device_count()
    if place is not None:
        if device not in ("auto", "cpu", "cuda"):
            raise PrunescopeError(f"under torchrun each process has the GPU of its place: leave out {device}")
        own = f"cuda:{place.local_rank}" if device == "cuda" or (device == "auto" and there) else "cpu"
        return [own] * place.size
    if processes == 1:
        return [device]
    names = [name.strip() for name in device.split(",")]
    if names == ["auto"]:
        names = ["cuda"] if there >= processes else ["cpu"]
    if len(names) == 1:
        names = [f"cuda:{number}" for number in range(processes)] if names == ["cuda"] else names * processes
    on_gpu = [name for name in names if name.startswith("cuda")]
    if len(names) != processes:
        raise PrunescopeError(f"{processes} processes take one device, or one for each; got {len(names)} ({device})")
    if len(set(on_gpu)) < len(on_gpu):
        raise PrunescopeError(f"{processes} processes take a GPU each; got {device}")
    if len(on_gpu) > there:
        raise PrunescopeError(f"{processes} processes take a GPU each, and torch finds {there}")
    return names
