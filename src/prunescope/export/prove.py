"""The proof that an exported network is the one that was trained, by its answers on the whole test set; and its speed.

Answers may differ where the two highest logits of an example are equal to rounding, and nowhere else.

The clock is that of the thread: what other processes of the machine take meanwhile does not count. Where it has nothing
else to do that is the time that passes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunescope.data import Dataset
from prunescope.errors import PrunescopeError, counted
from prunescope.export.module import Plain
from prunescope.export.program import Arrays, Program
from prunescope.nets import Network
from prunescope.nets.cohort import Layout
from prunescope.prune import Masks
from prunescope.run.tune import threads
from prunescope.train import TrainingContext
from prunescope.train.pictures import Pictures
from prunescope.train.streamed_pictures import StreamedPictures, pictures_of

EXAMPLES = 250  # in one pass
DOUBLED = 200  # test examples on which the algebra is held against the original in double precision
# How far apart two ways to compute one network may lie, as a share of the largest logit of an example.
ROUNDING = {
    "float32": 1e-4,
    "bfloat16": 5e-2,
    "float16": 1e-2,
    "elsewhere": 1e-2,
}  # elsewhere: what was trained on another device
EXACT = 1e-9  # in double precision


@dataclass(frozen=True)
class LogitAgreement:
    """How the logits of two networks compare on the test set.

    Attributes
    ----------
    difference
        The largest between two logits.
    changed
        Examples whose prediction differs; all of them are equal to rounding.
    """

    difference: float
    changed: int


def original(
    network: Network, tensors: Arrays, dataset: Dataset, dtype: torch.dtype, most: int | None = None
) -> Tensor:
    """Return the logits of a network on test examples as it is computed in training."""
    pictures = _pictures(network, dataset, dtype)
    alone = {name: torch.from_numpy(np.asarray(tensor))[None] for name, tensor in tensors.items()}
    alone = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in alone.items()}
    return _gathered(lambda rows: network.logits(alone, pictures.take(rows), False, Layout())[0], dataset, most)


def exported(module: Callable[[Tensor], Tensor], dataset: Dataset, most: int | None = None) -> Tensor:
    """Return the logits of an exported network, from the bytes of the test pictures."""

    def answer(rows: Tensor) -> Tensor:
        return module(torch.from_numpy(np.array(dataset.test_images[rows[0].numpy()])))

    return _gathered(answer, dataset, most)


def algebra(network: Network, tensors: Arrays, program: Program, dataset: Dataset) -> float:
    """Hold a program in double precision against the network; return how far they are apart at most."""
    scale = torch.tensor([1 / value for value in dataset.std], dtype=torch.float64)
    shift = torch.tensor([-m / d for m, d in zip(dataset.mean, dataset.std, strict=True)], dtype=torch.float64)
    module = Plain(program, scale, shift).double().eval()
    wanted = original(network, tensors, dataset, torch.float64, DOUBLED)
    logits = exported(module, dataset, DOUBLED)
    difference = float((logits - wanted).abs().max())
    if not difference <= EXACT * max(1.0, float(wanted.abs().max())):
        raise PrunescopeError(
            f"without its cut-off units the network is another: logits differ by {difference:.3g} in double precision; "
            "nothing was written"
        )
    return difference


def agreement(wanted: Tensor, actual: Tensor, what: str) -> LogitAgreement:
    """Compare logits; refuse a network that answers otherwise by more than rounding."""
    difference = float((actual - wanted).abs().max())
    differs = actual.argmax(1) != wanted.argmax(1)
    wrong = int((differs & ~_tied(wanted, "float32")).sum())
    bound = ROUNDING["float32"] * max(1.0, float(wanted.abs().max()))
    if wrong or not difference <= bound:
        words = f"logits differ by {difference:.3g}, {wrong:,} of {len(wanted):,} predictions by more than rounding"
        raise PrunescopeError(f"{what} is not the network that was trained: {words}; nothing was written")
    return LogitAgreement(difference, int(differs.sum()))


def check_error(bench: TrainingContext, tensors: Arrays, masks: Masks, row: Mapping[str, Any], what: str) -> None:
    """Measure the test error as in training, and hold it against a row."""
    precision = bench.recipe.precision if str(row["device"]).partition(" ")[0] == "cpu" else "elsewhere"
    engine, stored = bench.engine(bench.stacked([tensors]), bench.masks([masks])), row["test_error"]
    count = len(bench.dataset.test_labels)
    source = engine.examples(bench.test_pictures, torch.arange(count)[None])
    logits = _gathered(lambda rows: engine.logits(source.take(rows))[0, : rows.shape[1]].float(), bench.dataset, None)
    labels = torch.from_numpy(np.array(bench.dataset.test_labels))
    error = float((logits.argmax(1) != labels).double().mean())
    apart = round(abs(error - stored) * count)
    if apart > int(_tied(logits, precision).sum()):
        raise PrunescopeError(
            f"{what} has a test error of {error:.6g} here and {stored:.6g} in the store, "
            f"{counted(apart, 'example')} apart: the weights or the dataset are not "
            "those of the row; nothing was written"
        )


def _tied(logits: Tensor, precision: str) -> Tensor:
    """Tell for each example whether its two highest logits are equal to rounding."""
    highest = logits.topk(2, 1).values
    return highest[:, 0] - highest[:, 1] <= ROUNDING[precision] * logits.abs().amax(1)


def _pictures(network: Network, dataset: Dataset, dtype: torch.dtype) -> Pictures | StreamedPictures:
    """Return the test pictures, held or streamed by their size."""
    device, as_rows = torch.device("cpu"), not network.pictures
    return pictures_of(dataset.test_images, dataset, as_rows=as_rows, device=device, dtype=dtype)


@torch.no_grad()
def _gathered(answer: Callable[[Tensor], Tensor], dataset: Dataset, most: int | None) -> Tensor:
    """Return the answers to places ``[1, B]`` of the test set, part by part."""
    count = min(len(dataset.test_labels), most or len(dataset.test_labels))
    places = torch.arange(count)[None]
    return torch.cat([answer(places[:, first : first + EXAMPLES]) for first in range(0, count, EXAMPLES)])


ROUNDS, FEWEST = 41, 5  # turns
LONGEST = 10.0  # seconds of measuring, where the fewest turns allow it
WARM_UP = 3


@dataclass(frozen=True)
class Timing:
    """Seconds of one thread for one batch: median, least and most; and how often it was measured.

    Attributes
    ----------
    share, share_least, share_most
        The time as a share of the first network's in the same turn.
    """

    median: float
    least: float
    most: float
    share: float
    share_least: float
    share_most: float
    runs: int


def timed(networks: Mapping[str, nn.Module], pictures: Tensor) -> dict[str, Timing]:
    """Time networks on one batch, one after another, again and again."""
    times: dict[str, list[float]] = {name: [] for name in networks}
    with torch.inference_mode(), threads(1):
        for network in networks.values():
            for _ in range(WARM_UP):
                network(pictures)
        begun = time.perf_counter()
        for turn in range(ROUNDS):
            if turn >= FEWEST and time.perf_counter() - begun > LONGEST:
                break
            for name, network in networks.items():
                clock = time.thread_time()
                network(pictures)
                times[name].append(time.thread_time() - clock)
    first = next(iter(times.values()))
    timings = {}
    for name, seconds in times.items():
        shares = [second / max(base, 1e-9) for second, base in zip(seconds, first, strict=True)]
        timings[name] = Timing(
            statistics.median(seconds),
            min(seconds),
            max(seconds),
            statistics.median(shares),
            min(shares),
            max(shares),
            len(seconds),
        )
    return timings
