"""Which examples a replicate trains on: its subsample, label noise, validation examples; and groups of them by score.

All cells and treatments of a replicate share one permutation and one set of keys for noise, so they differ in nothing
but what the study varies.

Random numbers depend on words alone (:func:`generator`, :func:`keys`), so that a draw can be repeated on any machine
and in any order. There is no global state and no seed that is not an argument.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import Fault, InputError


def generator(*words: object) -> np.random.Generator:
    """Return a generator whose numbers follow from the words: integers and texts, such as seed, replicate, purpose.

    The words are joined with their kinds and lengths, so 1 is not "1" and ("ab", "c") not ("a", "bc"); the SHA-256 of
    that seeds PCG64. Numpy keeps the raw stream of PCG64 for good, but may change how `permutation` or `normal` use it:
    draws that have to outlive a version of numpy take :func:`keys`.
    """
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(_joined(words)).digest())))


def keys(count: int, *words: object) -> NDArray[np.uint64]:
    """Return ``count`` numbers of 64 random bits that follow from the words, in every version of numpy."""
    return generator(*words).bit_generator.random_raw(count)


def _joined(words: tuple[object, ...]) -> bytes:
    parts = []
    for word in words:
        if isinstance(word, bool) or not isinstance(word, int | np.integer | str):
            raise TypeError(f"words of a generator are integers and texts; got {word!r}")
        text = str(word).encode()
        parts.append(b"%s%d:%s" % (b"s" if isinstance(word, str) else b"i", len(text), text))
    return b"".join(parts)


@dataclass(frozen=True, eq=False)
class Subsample:
    """A replicate's part of the training set; all arrays are read-only.

    Attributes
    ----------
    train
        int64 [n], indices into the training set.
    labels
        int64 [n], the labels trained on, noise included.
    noisy
        bool [n], whether the label was changed.
    validation
        int64 [v], indices held out; their labels are never changed.
    """

    train: NDArray[np.int64]
    labels: NDArray[np.int64]
    noisy: NDArray[np.bool_]
    validation: NDArray[np.int64]

    def without(self, places: NDArray[np.int64]) -> Subsample:
        """Return the share without the training examples at some places within it."""
        remaining = np.ones(len(self.train), np.bool_)
        remaining[places] = False
        return _frozen(Subsample(self.train[remaining], self.labels[remaining], self.noisy[remaining], self.validation))


def draw_subsample(
    labels: NDArray[np.int64],
    classes: int,
    *,
    examples: int,
    label_noise: float,
    held_out: int,
    seed: int,
    replicate: int,
    dataset: str,
    validation: int = 0,
) -> Subsample:
    """Draw what a replicate trains on from the ``labels`` of a whole training set; classes play no part in it.

    Where the last ``validation`` labels are those of a validation part of the dataset's own, they are held out.

    The validation examples are the first ``held_out`` of a permutation of the training set, the training examples the
    next ``examples`` of it: a smaller subsample lies in each larger one. Exactly ``round(label_noise * examples)``
    labels are changed, those with the smallest of random keys that every example of the training set has, each to one
    of the other classes, uniformly: what is noisy stays noisy, with the same label, at each higher level of noise.
    """
    total = len(labels) - validation
    faults = list(_faults(total, classes, examples, label_noise, held_out))
    if faults:
        raise InputError(f"a share of {dataset}", faults)
    words = (seed, replicate, dataset)
    order = np.argsort(keys(total, *words, "subsample"), kind="stable").astype(np.int64)
    train = order[held_out : held_out + examples].copy()
    noisy = np.zeros(examples, np.bool_)
    changed = round(label_noise * examples)
    ranks = np.argsort(keys(total, *words, "noise")[train], kind="stable")
    noisy[ranks[:changed]] = True
    trained = np.array(labels[train], np.int64)
    if changed:
        # 64 random bits modulo a few classes: no class is likelier by more than one part in 10^16.
        offsets = 1 + (keys(total, *words, "noisy labels") % np.uint64(classes - 1)).astype(np.int64)
        trained[noisy] = (trained[noisy] + offsets[train[noisy]]) % classes
    apart = np.arange(total, len(labels)) if validation else order[:held_out].copy()
    return _frozen(Subsample(train, trained, noisy, apart))


def _frozen(subsample: Subsample) -> Subsample:
    for array in (subsample.train, subsample.labels, subsample.noisy, subsample.validation):
        array.flags.writeable = False
    return subsample


def _faults(total: int, classes: int, examples: int, label_noise: float, held_out: int) -> Iterator[Fault]:
    if examples < 1:
        yield Fault("examples", "must be 1 or more", str(examples))
    if held_out < 0:
        yield Fault("examples held out", "must be 0 or more", str(held_out))
    if examples + held_out > total:
        got = f"{examples:,} to train on and {held_out:,} held out"
        yield Fault("examples", f"must be at most the {total:,} of the training set", got)
    if not 0 <= label_noise <= 1:
        yield Fault("label_noise", "must be in [0, 1]", str(label_noise))
    elif label_noise > 0 and classes < 2:
        yield Fault("classes", "must be 2 or more for labels to be changed", str(classes))


Floats = NDArray[np.floating]
Integers = NDArray[np.int64]


def score_ranks(scores: Floats, index: Integers) -> Integers:
    """Return the rank of each example by score, the lowest first; ties by index."""
    places = np.empty(len(scores), np.int64)
    places[np.lexsort((index, scores))] = np.arange(len(scores))
    return places


def group_numbers(scores: Floats, index: Integers, count: int) -> Integers:
    """Return the group of each example, 0 for the lowest scores; group sizes differ by at most one.

    Groups of lower scores take the remainder.
    """
    if not 1 <= count <= len(scores):
        raise InputError("groups", [Fault("their number", f"must be 1 to the {len(scores):,} examples", str(count))])
    sizes = np.full(count, len(scores) // count) + (np.arange(count) < len(scores) % count)
    return np.repeat(np.arange(count), sizes)[score_ranks(scores, index)]
