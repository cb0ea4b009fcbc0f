"""Where a cohort is trained: its network, its recipe, the pictures on the device, and how it is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prunescope.data import Dataset
from prunescope.data.dataset import Images
from prunescope.nets import Designed, Network
from prunescope.nets.cohort import Layout
from prunescope.nets.sparse_kernels import SparseKernels, sparse_kernels
from prunescope.prune import Masks, stacked
from prunescope.study.sections import Recipe
from prunescope.train.dense import DenseEngine
from prunescope.train.engine import AutogradEngine, Engine, Tensors
from prunescope.train.pictures import Pictures
from prunescope.train.ranks import Ranks
from prunescope.train.sparse import SparseEngine
from prunescope.train.streamed_pictures import StreamedPictures, pictures_of

_PICTURES = ("train_pictures", "test_pictures")


@dataclass(frozen=True, eq=False)
class TrainingContext:
    """What the members of a cohort share.

    Attributes
    ----------
    dtype
        Of parameters and sums: float32, or float64 to test with.
    compact
        Leave out what pruning has cut off: None where it pays.
    sparse_below
        Members that keep at most this share of their weights are trained by sparse steps, where the network has them;
        with 1 all are, since sparse steps are faster even with all weights.
    most_resident
        Bytes of pictures that may be held on the device; larger parts of a dataset are streamed. None: as fits.
    readers
        Threads that read streamed pictures; None: as many as are good for the device.
    ranks
        The processes that share each batch; None: this one has all of it.
    """

    network: Network
    recipe: Recipe
    dataset: Dataset
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    layout: Layout = Layout()  # noqa: RUF009 - frozen
    compact: bool | None = None
    sparse_below: float = 0.0
    most_resident: int | None = None
    readers: int | None = None
    ranks: Ranks | None = None

    def _pictures(self, images: Images) -> Pictures | StreamedPictures:
        """Return pictures held on the device, or streamed where they are encoded or too large for that."""
        return pictures_of(
            images,
            self.dataset,
            as_rows=not self.network.pictures,
            device=self.device,
            dtype=self.dtype,
            most=self.most_resident,
            readers=self.readers,
        )

    @cached_property
    def train_pictures(self) -> Pictures | StreamedPictures:
        """The training set, validation examples included."""
        return self._pictures(self.dataset.train_images)

    @cached_property
    def test_pictures(self) -> Pictures | StreamedPictures:
        """The test set."""
        return self._pictures(self.dataset.test_images)

    def waited(self) -> float:
        """Return the seconds that training and evaluation have waited for streamed pictures so far."""
        parts = (vars(self).get(name) for name in _PICTURES)
        return sum(part.waited for part in parts if isinstance(part, StreamedPictures))

    def with_layout(self, layout: Layout) -> TrainingContext:
        """Return the same with another layout, the pictures shared."""
        return self._with(layout=layout)

    def with_network(self, network: Network) -> TrainingContext:
        """Return the same for another network, the pictures shared."""
        return self._with(network=network)

    def with_sparse_below(self, share: float) -> TrainingContext:
        """Return the same with another bound of sparse steps, the pictures shared."""
        return self._with(sparse_below=share)

    def with_ranks(self, ranks: Ranks) -> TrainingContext:
        """Return the same for processes that share each batch, the pictures shared."""
        return self._with(ranks=ranks)

    def _with(self, **changes: Any) -> TrainingContext:
        other = replace(self, **changes)
        other.share_pictures(self)
        return other

    def share_pictures(self, other: TrainingContext) -> None:
        """Take over pictures that another bench has laid out in the same way."""
        if self.dataset is other.dataset and self.network.pictures == other.network.pictures:
            vars(self).update({name: vars(other)[name] for name in _PICTURES if name in vars(other)})

    def engine(self, tensors: Tensors, masks: Tensors, compact: bool | None = None) -> Engine:
        """Return what trains this network in cohorts, from stacked tensors and masks."""
        if self.network.outline.dense and self.recipe.precision != "float16":
            if self.ranks is not None:  # all of them must keep the same tensors
                return DenseEngine(self.network, self.recipe, tensors, masks, False, self.ranks)
            compiled = self.sparse_kernels
            members = len(next(iter(tensors.values())))
            if compiled is not None and self.sparse_members(masks, members).all():
                return SparseEngine(self.network, self.recipe, tensors, masks, compiled)
            return DenseEngine(self.network, self.recipe, tensors, masks, self.compact if compact is None else compact)
        return AutogradEngine(self.network, self.recipe, tensors, masks, self._layout(), self.ranks)

    def _layout(self) -> Layout:
        """Return how a cohort is computed: as it should be, unless that would mix members up or hide batches."""
        layout = self.layout
        if self.recipe.precision == "float16":  # infinite values, which are usual there, would reach others of a group
            layout = replace(layout, pack=1)
        if self.ranks is None:
            return layout
        # A vmap hides from us what is normalised over a batch, and so does a kernel of our own.
        return replace(layout, planar=False) if isinstance(self.network, Designed) else Layout()

    @property
    def sparse_kernels(self) -> SparseKernels | None:
        """What sparse steps are computed with; None where there are none for this network here."""
        whole = self.ranks is None and self.recipe.precision != "float16"
        if not self.network.outline.dense or self.device.type != "cpu" or not whole:
            return None
        held = self.train_pictures.resident and self.test_pictures.resident
        return sparse_kernels(self.dtype) if held else None

    def sparse_members(self, masks: Tensors, members: int) -> np.ndarray:
        """Return for each of some members whether it is trained by sparse steps."""
        if not self.sparse_below or self.sparse_kernels is None:
            return np.zeros(members, bool)
        if not masks:
            return np.full(members, self.sparse_below >= 1)
        matrices = [parameter for parameter in self.network.outline.parameters if parameter.matrix]
        whole = sum(parameter.size for parameter in matrices if parameter.name not in masks)
        kept = whole + sum(mask.flatten(1).sum(1, dtype=torch.int64) for mask in masks.values())
        share = kept / sum(parameter.size for parameter in matrices)
        return np.asarray(share <= self.sparse_below)

    def stacked(self, members: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Tensor]:
        """Lay the tensors of several members on top of each other, on the device."""

        def laid(name: str) -> Tensor:
            together = torch.from_numpy(np.stack([member[name] for member in members]))
            return together.to(self.device, self.dtype if together.is_floating_point() else together.dtype)

        return {name: laid(name) for name in members[0]}

    def masks(self, members: Sequence[Masks]) -> dict[str, Tensor]:
        """Lay the masks of several members on top of each other; none where nothing is pruned."""
        if all(masks.kept == masks.prunable for masks in members):
            return {}
        return {name: torch.from_numpy(mask).to(self.device, self.dtype) for name, mask in stacked(members).items()}
