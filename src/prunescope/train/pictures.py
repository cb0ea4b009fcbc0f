"""Training pictures on the device: raw bytes, gathered by index for each member, moved and scaled there.

Pictures that the device or the memory should not hold come from `streamed_pictures`, a batch at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from prunescope.data import Dataset
from prunescope.nets.sparse_kernels import SparseKernels

PADDING = 4  # pixels around a picture before it is cropped (FACTS: CIFAR training data)


@dataclass(frozen=True)
class Moves:
    """How each picture is moved in one epoch: mirrored or not, and where the crop starts.

    Attributes
    ----------
    flip, down, right
        One value for each member and example, ``[R, n]``.
    """

    flip: Tensor
    down: Tensor
    right: Tensor

    def part(self, span: slice | Tensor) -> Moves:
        """Return the moves of some examples, a batch of them or those at some places."""
        return Moves(self.flip[:, span], self.down[:, span], self.right[:, span])

    def to(self, device: torch.device) -> Moves:
        """Return the same on a device."""
        return Moves(*(values.to(device) for values in (self.flip, self.down, self.right)))


@dataclass(frozen=True)
class Crops:
    """Which part of each picture is scaled to the whole in one epoch, and whether it is mirrored then.

    Attributes
    ----------
    flip, top, left, height, width
        One value for each member and example, ``[R, n]``.
    """

    flip: Tensor
    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor

    def part(self, span: slice | Tensor) -> Crops:
        """Return the crops of some examples, a batch of them or those at some places."""
        return Crops(*(values[:, span] for values in (self.flip, self.top, self.left, self.height, self.width)))

    def to(self, device: torch.device) -> Crops:
        """Return the same on a device."""
        return Crops(*(values.to(device) for values in (self.flip, self.top, self.left, self.height, self.width)))


class Scaling:
    """What makes inputs of bytes, ``(byte - mean) / std``.

    Parameters
    ----------
    as_rows
        For rows of features (channels, height, width) rather than pictures with channels last.
    """

    def __init__(self, dataset: Dataset, *, as_rows: bool, device: torch.device, dtype: torch.dtype) -> None:
        scale = torch.tensor([1 / deviation for deviation in dataset.std], dtype=torch.float64)
        shift = torch.tensor([-m / d for m, d in zip(dataset.mean, dataset.std, strict=True)], dtype=torch.float64)
        if as_rows:
            spread = dataset.shape[1] * dataset.shape[2]
            scale, shift = scale.repeat_interleave(spread), shift.repeat_interleave(spread)
        if bool((scale == scale[0]).all() and (shift == shift[0]).all()):
            scale, shift = scale[0], shift[0]
        self.as_rows = as_rows
        self.scale = scale.to(device, dtype)
        self.shift = shift.to(device, dtype)


def laid_out(pictures: np.ndarray, as_rows: bool) -> np.ndarray:
    """Return pictures ``[n, channels, height, width]`` as rows or with channels last."""
    return pictures.reshape(len(pictures), -1) if as_rows else pictures.transpose(0, 2, 3, 1)


class Pictures:
    """The pictures of a dataset as a network takes them.

    Parameters
    ----------
    bytes_
        Rows, or pictures with channels last, on the device.
    """

    resident = True

    def __init__(self, bytes_: Tensor, scaling: Scaling) -> None:
        self.as_rows = scaling.as_rows
        self._bytes = bytes_
        self._scale, self._shift = scaling.scale, scaling.shift
        self._padded: Tensor | None = None

    @classmethod
    def of_dataset(
        cls, pictures: np.ndarray, dataset: Dataset, *, as_rows: bool, device: torch.device, dtype: torch.dtype
    ) -> Pictures:
        """Return pictures ``[n, channels, height, width]`` of a dataset, on the device as rows or channels last."""
        bytes_ = torch.from_numpy(np.array(laid_out(pictures, as_rows), order="C"))
        return cls(bytes_.to(device), Scaling(dataset, as_rows=as_rows, device=device, dtype=dtype))

    def __len__(self) -> int:
        return len(self._bytes)

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self._bytes.device

    def _scaled(self, bytes_: Tensor) -> Tensor:
        return _scaled(bytes_, self._scale, self._shift)

    def take(self, places: Tensor) -> Tensor:
        """Return the inputs at ``places`` [R, B]: ``[R, B, features]`` or ``[R, B, H, W, channels]``."""
        taken = self._bytes.index_select(0, places.reshape(-1))
        return self._scaled(taken.view(*places.shape, *self._bytes.shape[1:]))

    def moved(self, places: Tensor, moves: Moves) -> Tensor:
        """Return the inputs at ``places``, each mirrored and cropped as ``moves`` says."""
        if self._padded is None:
            self._padded = F.pad(self._bytes, (0, 0, PADDING, PADDING, PADDING, PADDING))
        _, tall, wide, channels = self._padded.shape
        members, batch = places.shape
        height, width = self._bytes.shape[1:3]
        rows = torch.arange(height, device=self.device).view(-1, 1)
        columns = torch.arange(width, device=self.device).view(-1, 1)
        # Pixels are gathered with the members next to each other, as convolutions take them (`nets.grouped`).
        across = torch.where(_by_example(moves.flip), columns.flip(0), columns) + _by_example(moves.right)
        along = (rows + _by_example(moves.down) + _by_example(places) * tall) * wide
        pixels = (along.unsqueeze(2) + across.unsqueeze(1)).reshape(-1)
        taken = self._padded.view(-1, channels).index_select(0, pixels)
        return self._scaled(taken.view(batch, height, width, members, channels)).permute(3, 0, 1, 2, 4)

    def cropped(self, places: Tensor, crops: Crops) -> Tensor:
        """Return the inputs at ``places``, a part of each scaled to the whole, linearly between pixels."""
        _, height, width, channels = self._bytes.shape
        dtype, (members, batch) = self._scale.dtype, places.shape

        def between(size: int, part: Tensor, flip: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
            """Return for each pixel of an axis the two pixels of the part that it lies between, and where."""
            pixels = torch.arange(size, device=self.device).view(-1, 1)
            if flip is not None:
                pixels = torch.where(_by_example(flip), pixels.flip(0), pixels)
            sizes = _by_example(part)
            place = ((pixels + 0.5) * (sizes.to(dtype) / size) - 0.5).clamp(min=0)
            first = torch.minimum(place.long(), sizes - 1)
            return first, torch.minimum(first + 1, sizes - 1), place - first

        upper, lower, down = between(height, crops.height, None)
        before, after, right = between(width, crops.width, crops.flip)
        across, along = _by_example(crops.left), _by_example(crops.top) + _by_example(places) * height

        def taken(rows: Tensor, columns: Tensor) -> Tensor:
            pixels = ((along + rows) * width).unsqueeze(2) + (across + columns).unsqueeze(1)
            values = self._bytes.view(-1, channels).index_select(0, pixels.reshape(-1)).to(dtype)
            return values.view(batch, height, width, members, channels)

        right, down = right[:, None, :, :, None], down[:, :, None, :, None]
        top = torch.lerp(taken(upper, before), taken(upper, after), right)
        bottom = torch.lerp(taken(lower, before), taken(lower, after), right)
        return self._scaled(top.lerp_(bottom, down)).permute(3, 0, 1, 2, 4)

    def of(self, places: Tensor, columns: Tensor | None = None) -> ExampleSource:
        """Return each member's own examples.

        Parameters
        ----------
        places
            ``[R, n]``, which examples each member has.
        columns
            ``[R, k]``, which columns of the rows each member reads; all where not given.
        """
        if columns is None:
            return ChosenExamples(self, places)
        parts = [self._bytes[examples][:, read] for examples, read in zip(places, columns, strict=True)]
        scale = self._scale if self._scale.ndim == 0 else self._scale[columns].unsqueeze(1)
        shift = self._shift if self._shift.ndim == 0 else self._shift[columns].unsqueeze(1)
        return NarrowRows(torch.stack(parts), scale, shift)

    def innermost(self, places: Tensor, columns: Tensor, compiled: SparseKernels) -> InnermostRows:
        """Return each member's own examples, some columns of them, with the examples innermost.

        Parameters
        ----------
        places, columns
            As in `of`.
        """
        features = self._bytes.shape[1]
        scale, shift = (values.expand(features).contiguous() for values in (self._scale, self._shift))
        return InnermostRows(self._bytes, scale, shift, places, columns.int(), compiled)


@dataclass(frozen=True)
class BatchRequest:
    """A batch of a cohort.

    Attributes
    ----------
    order
        Each member's own positions, ``[R, B]``, where the pictures are.
    moves
        How they are moved; None: as they are.
    epoch, step
        When.
    """

    order: Tensor
    moves: Moves | Crops | None = None
    epoch: int = 0
    step: int = 0


class ExampleSource(Protocol):
    """The examples of a cohort's members, by each member's own numbering."""

    @property
    def device(self) -> torch.device:
        """Where positions are looked up."""

    def take(self, order: Tensor, moves: Moves | Crops | None = None) -> Tensor:
        """Return the inputs at each member's own positions ``order`` [R, B], moved where moves are given."""

    def batches(self, requests: Iterable[BatchRequest]) -> Iterator[tuple[BatchRequest, Tensor]]:
        """Yield requests, one after another, with their inputs."""


class AnyPictures(Protocol):
    """The pictures of a dataset, held on the device or streamed."""

    resident: bool

    def __len__(self) -> int: ...

    @property
    def device(self) -> torch.device:
        """Where places are looked up."""

    def of(self, places: Tensor, columns: Tensor | None = None) -> ExampleSource:
        """Return each member's own examples; see `Pictures.of`."""


class HeldExamples(ABC):
    """Examples on the device: a batch is made when it is asked for."""

    @abstractmethod
    def take(self, order: Tensor, moves: Moves | Crops | None = None) -> Tensor:
        """Return the inputs at each member's own positions."""

    def batches(self, requests: Iterable[BatchRequest]) -> Iterator[tuple[BatchRequest, Tensor]]:
        """Yield requests with their inputs."""
        for request in requests:
            yield request, self.take(request.order, request.moves)


@dataclass(frozen=True)
class ChosenExamples(HeldExamples):
    """Examples of a dataset, ``places`` [R, n]."""

    pictures: Pictures
    places: Tensor

    @property
    def device(self) -> torch.device:
        """Where positions are looked up."""
        return self.places.device

    def take(self, order: Tensor, moves: Moves | Crops | None = None) -> Tensor:
        """Return the inputs at each member's own positions."""
        places = self.places.gather(1, order)
        if moves is None:
            return self.pictures.take(places)
        return self.pictures.moved(places, moves) if isinstance(moves, Moves) else self.pictures.cropped(places, moves)


@dataclass(frozen=True)
class NarrowRows(HeldExamples):
    """Rows of each member's own examples and columns, ``[R, n, k]`` bytes."""

    bytes_: Tensor
    scale: Tensor
    shift: Tensor

    @property
    def device(self) -> torch.device:
        """Where positions are looked up."""
        return self.bytes_.device

    def take(self, order: Tensor, moves: Moves | Crops | None = None) -> Tensor:
        """Return the inputs at each member's own positions; rows are never moved."""
        del moves
        members, examples, columns = self.bytes_.shape
        first = torch.arange(members, device=order.device).unsqueeze(1) * examples
        taken = self.bytes_.view(-1, columns).index_select(0, (order + first).reshape(-1))
        return _scaled(taken.view(*order.shape, columns), self.scale, self.shift)


@dataclass(frozen=True)
class InnermostRows(HeldExamples):
    """Some columns ``[R, k]`` of rows of features, the examples innermost and filled up to whole vectors with zeros."""

    rows: Tensor
    scale: Tensor
    shift: Tensor
    places: Tensor
    columns: Tensor
    compiled: SparseKernels

    @property
    def device(self) -> torch.device:
        """Where positions are looked up."""
        return self.places.device

    def take(self, order: Tensor, moves: Moves | Crops | None = None) -> Tensor:
        """Return the inputs ``[R, k, B]`` at each member's own positions; rows are never moved."""
        del moves
        places = self.places.gather(1, order)
        if self.rows.dtype == torch.uint8:
            return self.compiled.lay_out(self.rows, places, self.columns, self.scale, self.shift)
        read = self.columns.long()
        taken = self.rows[places.unsqueeze(1), read.unsqueeze(2)].to(self.scale.dtype)
        taken = taken.mul_(self.scale[read].unsqueeze(2)).add_(self.shift[read].unsqueeze(2))
        return F.pad(taken, (0, self.compiled.filled(order.shape[1]) - order.shape[1]))


def _by_example(values: Tensor) -> Tensor:
    """Lay values ``[R, B]`` out as ``[B, 1, R]``."""
    return values.t().contiguous().unsqueeze(1)


def _scaled(bytes_: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return ``bytes * scale + shift``; plain conversion first, since products of bytes and floats are slow."""
    values = bytes_.to(scale.dtype)
    if scale.ndim == 1 and values.ndim == 5:
        # Three channels at a time would be slow; a whole line of pixels is not.
        line = values.shape[-3:-1].numel()
        values.view(*values.shape[:-3], -1).mul_(scale.repeat(line)).add_(shift.repeat(line))
        return values
    return values.mul_(scale).add_(shift)
