"""Pictures that stay on the disk or in the machine's memory: threads read each batch ahead, and the device has few.

Whatever threads there are, a batch holds what was asked for, and in the order in which it was asked. Arrays in memory
or mapped from a file give the bytes that `Pictures` would hold; moving and scaling is left to it. Encoded pictures are
decoded, and cut where parts of them are drawn, in the threads. What several members ask for is read once.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from prunescope.data import Dataset, EncodedPictures
from prunescope.data.dataset import Images
from prunescope.data.raw import machine_bytes, most_resident
from prunescope.train.pictures import BatchRequest, Crops, Moves, Pictures, Scaling, laid_out

AHEAD_BYTES, MOST_AHEAD = 2**29, 8  # of batches that wait for their turn, and how many of them
ENCODED_AT_ONCE, PLAIN_AT_ONCE = 8, 64  # pictures of a thread's task


def resident_bytes(device: torch.device) -> int:
    """Return how many bytes of pictures may be held: half the memory of device or machine, copies counted."""
    if device.type == "cuda":
        return most_resident(int(torch.cuda.get_device_properties(device).total_memory))
    return most_resident(machine_bytes())


def reading_threads(device: torch.device) -> int:
    """Return how many threads read: all cores for a GPU, an eighth of them where they train, too."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if device.type == "cuda" else max(1, cores // 8)


def pictures_of(
    images: Images,
    dataset: Dataset,
    *,
    as_rows: bool,
    device: torch.device,
    dtype: torch.dtype,
    most: int | None = None,
    readers: int | None = None,
) -> Pictures | StreamedPictures:
    """Return a part of a dataset as a network takes it: held on the device, or streamed.

    Parameters
    ----------
    most
        Bytes that may be held; None: as fits. Encoded pictures are always streamed.
    readers
        Threads that read what is streamed; None: as many as are good for the device.
    """
    if isinstance(images, EncodedPictures) or images.nbytes > (resident_bytes(device) if most is None else most):
        threads = reading_threads(device) if readers is None else readers
        return StreamedPictures(images, dataset, as_rows=as_rows, device=device, dtype=dtype, threads=threads)
    return Pictures.of_dataset(images, dataset, as_rows=as_rows, device=device, dtype=dtype)


@dataclass
class _Batch:
    """A batch under way.

    Attributes
    ----------
    places
        The pictures to read, each once.
    crops
        Which part of each, and whether mirrored: top, left, height, width, flip; None: as it is.
    positions
        Where among them each member's pictures are, ``[R, B]``.
    moves
        What is left to do on the device.
    """

    request: BatchRequest
    places: np.ndarray
    crops: np.ndarray | None
    positions: Tensor
    moves: Moves | Crops | None
    bytes_: Tensor
    parts: list[Future[None]] = field(default_factory=list)


class StreamedPictures:
    """The pictures of a dataset as a network takes them, read when they are needed.

    Parameters
    ----------
    threads
        How many read ahead; with none, pictures are read when their turn comes.

    Attributes
    ----------
    waited
        Seconds that whoever asked has waited for pictures so far.
    """

    resident = False
    device = torch.device("cpu")  # of the places that are asked for

    def __init__(
        self,
        images: Images,
        dataset: Dataset,
        *,
        as_rows: bool,
        device: torch.device,
        dtype: torch.dtype,
        threads: int,
    ) -> None:
        self._images = images
        self._scaling = Scaling(dataset, as_rows=as_rows, device=device, dtype=dtype)
        self._target = device
        self._threads = threads
        channels, height, width = images.shape[1:]
        self._shape = (channels * height * width,) if as_rows else (height, width, channels)
        self.waited = 0.0

    def __len__(self) -> int:
        return len(self._images)

    def of(self, places: Tensor, columns: Tensor | None = None) -> StreamedExamples:
        """Return each member's own examples ``places`` [R, n], and of rows perhaps some ``columns`` [R, k]."""
        return StreamedExamples(self, places.cpu(), columns)

    def take(self, places: Tensor, moves: Moves | Crops | None = None) -> Tensor:
        """Return the inputs at ``places`` [R, B], moved where moves are given."""
        batch = self._planned(BatchRequest(places.cpu(), moves), places.cpu())
        return self._read_now(batch)

    def batches(self, requests: Iterable[tuple[BatchRequest, Tensor]]) -> Iterator[tuple[BatchRequest, Tensor]]:
        """Yield requests, which come with their places, with their inputs; the next ones are read meanwhile."""
        if not self._threads:
            for request, places in requests:
                yield request, self._read_now(self._planned(request, places))
            return
        waiting: deque[_Batch] = deque()
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="pictures")
        try:
            for request, places in requests:
                batch = self._planned(request, places)
                batch.parts = [pool.submit(self._fill, batch, part) for part in self._parts(batch)]
                waiting.append(batch)
                ahead = min(MOST_AHEAD, max(1, AHEAD_BYTES // batch.bytes_.nbytes))
                if len(waiting) > ahead:
                    yield self._awaited(waiting.popleft())
            while waiting:
                yield self._awaited(waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def _planned(self, request: BatchRequest, places: Tensor) -> _Batch:
        """Return a batch with room for its pictures, each that several members share once."""
        moves = request.moves
        wanted = places.numpy()[..., np.newaxis]
        cuts = isinstance(self._images, EncodedPictures) and isinstance(moves, Crops)
        if cuts and isinstance(moves, Crops):
            crops = (moves.top, moves.left, moves.height, moves.width, moves.flip)
            drawn = np.stack([values.cpu().numpy().astype(np.int64) for values in crops], -1)
            wanted = np.concatenate([wanted, drawn], -1)
        members, count = places.shape
        if (wanted == wanted[:1]).all():
            rows, positions = wanted[0], torch.arange(count).expand(members, -1)
        else:
            rows, inverse = np.unique(wanted.reshape(members * count, -1), axis=0, return_inverse=True)
            positions = torch.from_numpy(inverse.reshape(members, count))
        kind = torch.uint8 if self._images.dtype == np.uint8 else torch.float32
        room = torch.empty((len(rows), *self._shape), dtype=kind, pin_memory=self._target.type == "cuda")
        return _Batch(request, rows[:, 0], rows[:, 1:] if cuts else None, positions, None if cuts else moves, room)

    def _parts(self, batch: _Batch) -> list[slice]:
        most = ENCODED_AT_ONCE if isinstance(self._images, EncodedPictures) else PLAIN_AT_ONCE
        count = len(batch.places)
        return [slice(first, min(first + most, count)) for first in range(0, count, most)]

    def _fill(self, batch: _Batch, part: slice) -> None:
        """Read some pictures of a batch; run by threads."""
        room = batch.bytes_.numpy()[part]
        if not isinstance(self._images, EncodedPictures):
            room[...] = laid_out(np.asarray(self._images[batch.places[part]]), self._scaling.as_rows)
            return
        for index, place in enumerate(batch.places[part].tolist()):
            if batch.crops is None:
                pixels = self._images.pixels(place)
            else:
                top, left, height, width, flip = batch.crops[part][index].tolist()
                pixels = self._images.pixels(place, (top, left, height, width))
                pixels = pixels[:, ::-1] if flip else pixels
            room[index] = pixels.transpose(2, 0, 1).reshape(-1) if self._scaling.as_rows else pixels

    def _read_now(self, batch: _Batch) -> Tensor:
        clock = time.perf_counter()
        self._fill(batch, slice(0, len(batch.places)))
        self.waited += time.perf_counter() - clock
        return self._inputs(batch)

    def _awaited(self, batch: _Batch) -> tuple[BatchRequest, Tensor]:
        clock = time.perf_counter()
        for part in batch.parts:
            part.result()
        self.waited += time.perf_counter() - clock
        return batch.request, self._inputs(batch)

    def _inputs(self, batch: _Batch) -> Tensor:
        """Return what the network takes, on the device."""
        pictures = Pictures(batch.bytes_.to(self._target, non_blocking=True), self._scaling)
        positions = batch.positions.to(self._target)
        if batch.moves is None:
            return pictures.take(positions)
        moves = batch.moves.to(self._target)
        return pictures.moved(positions, moves) if isinstance(moves, Moves) else pictures.cropped(positions, moves)


@dataclass(frozen=True)
class StreamedExamples:
    """Examples of a dataset, ``places`` [R, n], and perhaps some columns of their rows."""

    pictures: StreamedPictures
    places: Tensor
    columns: Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Where positions are looked up."""
        return self.places.device

    def take(self, order: Tensor, moves: Moves | Crops | None = None) -> Tensor:
        """Return the inputs at each member's own positions."""
        return self._read(self.pictures.take(self.places.gather(1, order.cpu()), moves))

    def batches(self, requests: Iterable[BatchRequest]) -> Iterator[tuple[BatchRequest, Tensor]]:
        """Yield requests with their inputs, the next ones read meanwhile."""
        placed = ((request, self.places.gather(1, request.order.cpu())) for request in requests)
        for request, inputs in self.pictures.batches(placed):
            yield request, self._read(inputs)

    def _read(self, inputs: Tensor) -> Tensor:
        """Return the columns of rows that each member reads."""
        if self.columns is None:
            return inputs
        return inputs.gather(2, self.columns.unsqueeze(1).expand(-1, inputs.shape[1], -1))
