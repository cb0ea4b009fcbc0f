"""What chance decides in training: starts, the order of examples, how pictures are moved.

Nothing is drawn from a running state. Every draw comes from a generator made of words (study's seed, replicate, cell,
rung, epoch), so an interrupted ladder draws what it would have drawn, whatever else is in its cohort.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prunescope.data import generator
from prunescope.study import Ensemble, Ladder
from prunescope.train.pictures import PADDING

Size = int | np.ndarray
AREAS, RATIOS, TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10  # of a part of a picture, as torchvision has them


@dataclass(frozen=True)
class Seeding:
    """The draws of one ladder. Treatments and levels of label noise of one cell and replicate share theirs."""

    words: tuple[object, ...]

    def start(self, again: int = 0) -> np.random.Generator:
        """Draw initial weights; ``again`` counts how often they are drawn anew."""
        return generator(*self.words, "start", again)

    def order(self, rung: int, epoch: int, examples: int) -> np.ndarray:
        """Draw the order of examples in an epoch."""
        return generator(*self.words, "order", rung, epoch).permutation(examples)

    def moves(self, rung: int, epoch: int, examples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw for each example whether it is mirrored, and where its crop starts: down, right."""
        rng = generator(*self.words, "moves", rung, epoch)
        flip = rng.integers(0, 2, examples, dtype=np.uint8).astype(bool)
        down = rng.integers(0, 2 * PADDING + 1, examples)
        right = rng.integers(0, 2 * PADDING + 1, examples)
        return flip, down, right

    def crops(self, rung: int, epoch: int, examples: int, height: Size, width: Size) -> tuple[np.ndarray, ...]:
        """Draw for each example whether it is mirrored, and which part is taken: top, left, height, width.

        Pictures have one ``height`` and ``width``, or each its own.

        The part has 8 to 100 % of the area and is 3/4 to 4/3 as wide as high. Of ten tries the first that fits counts;
        where none does, the largest part in the middle (as torchvision's ``RandomResizedCrop``).
        """
        rng = generator(*self.words, "crops", rung, epoch)
        flip = rng.integers(0, 2, examples, dtype=np.uint8).astype(bool)
        area = rng.uniform(*AREAS, (TRIES, examples)) * height * width
        ratio = np.exp(rng.uniform(np.log(RATIOS[0]), np.log(RATIOS[1]), (TRIES, examples)))
        wide, high = np.rint(np.sqrt(area * ratio)).astype(int), np.rint(np.sqrt(area / ratio)).astype(int)
        fits = (wide > 0) & (wide <= width) & (high > 0) & (high <= height)
        first, some = fits.argmax(0), fits.any(0)
        least, most = RATIOS
        whole_high = np.minimum(height, np.rint(np.divide(width, least)).astype(int))
        whole_wide = np.minimum(width, np.rint(np.multiply(height, most)).astype(int))
        columns = np.arange(examples)
        part_high = np.where(some, high[first, columns], whole_high)
        part_wide = np.where(some, wide[first, columns], whole_wide)
        place = rng.random((2, examples))
        top = np.where(some, place[0] * (height - part_high + 1), (height - whole_high) // 2).astype(int)
        left = np.where(some, place[1] * (width - part_wide + 1), (width - whole_wide) // 2).astype(int)
        return flip, top, left, part_high, part_wide

    def scores(self, rung: int) -> np.random.Generator:
        """Draw what random pruning goes by."""
        return generator(*self.words, "scores", rung)

    def shown(self, rung: int, examples: int) -> np.ndarray:
        """Draw the order in which examples are shown to scores that go by gradients."""
        return generator(*self.words, "shown to scores", rung).permutation(examples)


def seeding_of(ladder: Ladder, rung: int = 0) -> Seeding:
    """Return the draws of a ladder, at a rung: a narrow ladder's networks draw what dense ones of their width do."""
    return Seeding(ladder.cell_at(rung).seed_words(ladder.seed, ladder.replicate))


def seeding_of_scorer(ensemble: Ensemble, number: int) -> Seeding:
    """Return the draws of one network of an ensemble, counted from 0."""
    return Seeding((*seeding_of(ensemble.ladder).words, "el2n", number))
