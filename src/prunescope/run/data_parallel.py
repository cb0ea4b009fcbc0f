"""Processes that train each network together with the run's own: started, told what to train, ended.

The run's own process is rank 0. It alone reads and writes the store, prunes, and decides. For each rung it tells the
others what to train and from where; then all take the same steps, each on its share of every batch (`train.ranks`).
What goes wrong in one of them ends the rung for all: finished rungs and what was kept of this one are in the store.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import FileStore

from prunescope.errors import PrunescopeError
from prunescope.nets.cohort import Layout
from prunescope.run.child_process import ChildProcess, end_children, ending, start_child
from prunescope.study import Ladder
from prunescope.train import CohortMember, ProgressKeeper, Span, TrainedMembers, TrainingContext, train_rung
from prunescope.train.ranks import RankLostError, Ranks
from prunescope.train.rung import Tick

if TYPE_CHECKING:
    from prunescope.run.ladder_runner import RunSettings

STEP_TIMEOUT = timedelta(minutes=10)  # after which a process that does not answer in the middle of a rung is given up
_IDLE_TIMEOUT = timedelta(days=30)  # while rank 0 prunes, writes, or waits for other runs
_GOODBYE = 5.0  # seconds for a process that is lost to say why


@dataclass(frozen=True)
class RungWork:
    """What all processes train together: some networks through one rung.

    Attributes
    ----------
    ladder, rung
        Whose network and recipe it is.
    number
        The rung that draws go by.
    start, masks
        Arrays, stacked, for the other processes.
    """

    ladder: Ladder
    rung: int
    number: int
    layout: Layout
    members: Sequence[CohortMember]
    span: Span
    every_example: bool = False
    threads: int = 1
    start: Mapping[str, np.ndarray] = field(default_factory=dict)
    masks: Mapping[str, np.ndarray] = field(default_factory=dict)


def train_networks(
    parallel: DataParallel | None,
    context: TrainingContext,
    work: RungWork,
    tensors: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
    tick: Tick,
    keeper: ProgressKeeper | None,
) -> TrainedMembers:
    """Train networks through a rung, in this process or in several.

    Parameters
    ----------
    tensors
        What they start from, and masks.
    """

    def train(here: TrainingContext) -> TrainedMembers:
        return train_rung(here, work.members, *tensors, work.number, work.span, tick, keeper, work.every_example)

    if parallel is None:
        return train(context)
    start, masks = ({name: tensor.cpu().numpy() for name, tensor in group.items()} for group in tensors)
    with parallel.training(context, replace(work, start=start, masks=masks, threads=torch.get_num_threads())) as shared:
        return train(shared)


def join(rank: int, size: int, meeting: Path | None, device: str, timeout: timedelta) -> Ranks:
    """Meet the other processes.

    Parameters
    ----------
    meeting
        A file that they all see; None: where torchrun's environment says.
    """
    if dist.is_initialized():
        raise PrunescopeError("this process trains with others already (torch.distributed is initialised)")
    store = None if meeting is None else FileStore(str(meeting), size)
    try:
        with _on_loopback(meeting is not None):
            dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=timeout)
            outcomes: Any = dist.group.WORLD
            steps: Any = outcomes
            if device.startswith("cuda"):
                torch.cuda.set_device(device)
                steps = dist.new_group(backend="nccl", timeout=timeout)
            idle: Any = dist.new_group(backend="gloo", timeout=_IDLE_TIMEOUT)
        dist.barrier(outcomes)  # nobody is waited for through the last group who has not joined it
    except RuntimeError as trouble:
        if dist.is_initialized():
            dist.destroy_process_group()
        raise RankLostError("it could not be met") from trouble
    return Ranks(rank, size, steps, outcomes, idle)


@contextmanager
def _on_loopback(wanted: bool) -> Iterator[None]:
    """Let processes of one machine meet where no other machine can reach them, while they meet."""
    name, before = "GLOO_SOCKET_IFNAME", os.environ.get("GLOO_SOCKET_IFNAME")
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    if not wanted or before is not None:
        yield
        return
    os.environ[name] = loopback
    try:
        yield
    finally:
        del os.environ[name]


class DataParallel:
    """The processes of a run that train each network together, as rank 0 sees them.

    They are started anew after a rung that did not come to its end.

    Parameters
    ----------
    devices
        Of the processes, this one's first.
    timeout
        How long one may be silent in the middle of a rung.
    joined
        The processes where torchrun has started them; a rung that does not come to its end is the last one then.
    """

    def __init__(
        self,
        devices: Sequence[str],
        data: Path | None,
        settings: RunSettings,
        timeout: timedelta = STEP_TIMEOUT,
        joined: Ranks | None = None,
    ) -> None:
        self.size = len(devices)
        self._devices = list(devices)
        self._data, self._settings, self._timeout = data, settings, timeout
        self._ranks = joined
        self._joined_before = joined is not None
        self._others: list[ChildProcess] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def begin(self) -> None:
        """Start the others, unless they are there."""
        with self._ended_early():
            self._joined()

    @contextmanager
    def training(self, context: TrainingContext, work: RungWork) -> Iterator[TrainingContext]:
        """Let the others train some networks with this process; give the context to do so, too."""
        with self._ended_early():
            ranks = self._joined()
            ranks.from_first(pickle.dumps(work), patient=True)
            yield context.with_ranks(ranks)

    @contextmanager
    def _ended_early(self) -> Iterator[None]:
        """End the others where something goes wrong, and say what if it was one of them."""
        try:
            yield
        except RankLostError as trouble:
            raise RankLostError(self._reason(trouble)) from trouble
        except BaseException:
            self.close(early=True)
            raise

    def _joined(self) -> Ranks:
        if self._ranks is None and self._joined_before:
            raise RankLostError("an earlier rung ended early, and torchrun's processes ended with it")
        if self._ranks is None:
            self._folder = tempfile.TemporaryDirectory(prefix="prunescope-")  # a GPU's group meets at its first step
            meeting = Path(self._folder.name) / "meeting"
            self._others = [self._start(rank, meeting) for rank in range(1, self.size)]
            self._hear_all()
            self._ranks = join(0, self.size, meeting, self._devices[0], self._timeout)
        return self._ranks

    def _hear_all(self) -> None:
        """Wait until all others have begun: who has not cannot be met."""
        try:
            for other in self._others:
                other.pipe.recv()
        except (EOFError, OSError) as trouble:
            raise RankLostError("it did not begin") from trouble

    def _start(self, rank: int, meeting: Path) -> ChildProcess:
        """Start another process of this machine."""
        child = start_child("prunescope.run.rank_process")
        settings = replace(self._settings, device=self._devices[rank])
        child.pipe.send((rank, self.size, meeting, self._timeout, self._data, settings))
        return child

    def _reason(self, trouble: RankLostError) -> str:
        """Say what became of the other processes, and end them."""
        reasons = [self._reason_of(other) for other in self._others]
        named = [f"process {rank} of {self.size} {words}" for rank, words in enumerate(reasons, 1) if words]
        self.close(early=True)
        told = named[0] if named else f"one of {self.size} processes that train each network is lost: {trouble}"
        return f"{told}; the same command goes on from what the store has"

    def _reason_of(self, other: ChildProcess) -> str:
        """Say how a process ended; nothing where it goes on."""
        with suppress(EOFError, OSError):
            if other.pipe.poll(_GOODBYE):
                return f"failed: {other.pipe.recv()}"
        try:
            code = other.process.wait(_GOODBYE)
        except subprocess.TimeoutExpired:
            return ""
        if code == 0:  # it has lost another itself
            return ""
        hint = " (the system may have run out of memory)" if code == -signal.SIGKILL else ""
        return f"{ending(code)}{hint}"

    def close(self, early: bool = False) -> None:
        """End the other processes that were started here; let those of torchrun end themselves.

        Parameters
        ----------
        early
            Whether a rung did not come to its end.
        """
        end_children(self._others)
        self._others = []
        if self._ranks is not None:
            ranks, self._ranks = self._ranks, None
            if self._joined_before and not early:
                ranks.from_first(b"", patient=True)
            with suppress(RuntimeError):
                dist.destroy_process_group()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
