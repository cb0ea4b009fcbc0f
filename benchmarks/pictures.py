"""Reading pictures: how many a core decodes beside Pillow, how many are ready for a network, how many that takes.

Photographs are made for it: smooth shapes with grain, 500 x 375 pixels as ImageNet's mostly are, packed as ImageNet is.
Rates of one core are pictures by processor time, so that what else runs here counts little; those with threads are by
the clock. All are of one run, in turns.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.clock import Figure
from prunescope.data import EncodedPictures, pack_dataset
from prunescope.data.coding import decoded_strictly
from prunescope.data.dataset import Dataset
from prunescope.data.load import load
from prunescope.nets import network
from prunescope.study.catalogue import DATASETS, DatasetFacts
from prunescope.study.sections import Recipe
from prunescope.train import Seeding, TrainingContext
from prunescope.train.pictures import BatchRequest, Crops
from prunescope.train.streamed_pictures import StreamedPictures

CLASSES, PER_CLASS, RUNS, BATCH = 4, 32, 5, 32
COUNT = CLASSES * PER_CLASS
EPOCHS, PUBLISHED = 90, DATASETS["imagenet"].train


def photograph(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return a picture that compresses about as photographs do."""
    coarse = Image.fromarray(rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    return (smooth + rng.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)


def write(folder: Path) -> None:
    """Write folders as ImageNet has them."""
    rng = np.random.default_rng(0)
    for label in range(CLASSES):
        for part, count in (("train", PER_CLASS), ("val", 1)):
            place = folder / part / f"n{label:08}"
            place.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(photograph(rng, 375, 500)).save(place / f"{index}.JPEG", quality=92)


def a_core(call: Callable[[], object], pictures: int) -> float:
    """Return pictures a second of processor time."""
    clock = time.process_time()
    call()
    return pictures / (time.process_time() - clock)


def crops_of(images: EncodedPictures) -> Crops:
    """Draw a part of each training picture."""
    places = np.arange(len(images))
    drawn = Seeding(("benchmark",)).crops(0, 0, len(images), *images.sizes(places))
    return Crops(*(torch.from_numpy(values[None].copy()) for values in drawn))


def by_pillow(content: bytes, part: tuple[int, int, int, int] | None = None) -> np.ndarray:
    """Decode with Pillow, and scale a part, as loaders of PIL pictures do."""
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    if part is None:
        return np.asarray(picture)
    top, left, height, width = part
    return np.asarray(picture.resize((224, 224), Image.Resampling.BILINEAR, (left, top, left + width, top + height)))


def streamed(data: Dataset, crops: Crops, threads: int) -> float:
    """Return pictures a second, by the clock, as training gets them."""
    device = torch.device("cpu")
    pictures = StreamedPictures(
        data.train_images, data, as_rows=False, device=device, dtype=torch.float32, threads=threads
    )
    spans = (slice(first, first + BATCH) for first in range(0, COUNT, BATCH))
    places = torch.arange(COUNT)[None]
    clock = time.perf_counter()
    for _ in pictures.of(places).batches(BatchRequest(places[:, span], crops.part(span)) for span in spans):
        pass
    return COUNT / (time.perf_counter() - clock)


def trained(data: Dataset, depth: int, size: int) -> float:
    """Return the pictures a second, by processor time, that training a network takes."""
    net = network("imagenet-resnet", depth, 1.0, 1_000, data.shape)
    context = TrainingContext(net, Recipe(epochs=1, batch=size, learning_rate=0.1, levels=0), data, readers=0)
    engine = context.engine(context.stacked([net.start(np.random.default_rng(0))]), {})
    x = context.train_pictures.take(torch.arange(size)[None])
    labels = torch.zeros((1, size), dtype=torch.int64)
    engine.step(x, labels, 1e-6)
    return a_core(lambda: engine.step(x, labels, 1e-6), size)


def measure() -> Iterator[Figure]:
    """Yield the figures."""
    before = DATASETS["imagenet"]
    DATASETS["imagenet"] = DatasetFacts(COUNT, CLASSES, CLASSES, before.shape)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write(folder / "in")
            packing = [
                a_core(lambda: pack_dataset("imagenet", folder / "in", folder, threads=1), COUNT + CLASSES)
                for _ in range(3)
            ]
            yield "packed into one file, by one core", "pictures/s", packing
            yield from _read(load("imagenet", folder))
    finally:
        DATASETS["imagenet"] = before


def _read(data: Dataset) -> Iterator[Figure]:
    images = data.train_images
    contents = [images._file.content(place) for place in range(COUNT)]
    yield "a picture in the file", "kB", [len(content) / 1e3 for content in contents]
    crops = crops_of(images)
    parts = torch.stack([crops.top[0], crops.left[0], crops.height[0], crops.width[0]], 1).tolist()
    ways: dict[str, Callable[[], object]] = {
        "decoded, by one core": lambda: [decoded_strictly(content) for content in contents],
        "decoded by Pillow, by one core": lambda: [by_pillow(content) for content in contents],
        "a part of it scaled, by one core": lambda: [images.pixels(n, tuple(part)) for n, part in enumerate(parts)],
        "a part scaled by Pillow, by one core": lambda: [
            by_pillow(content, tuple(part)) for content, part in zip(contents, parts, strict=True)
        ],
        "its centre, by one core": lambda: [images.pixels(place) for place in range(COUNT)],
    }
    rates: dict[str, list[float]] = {words: [] for words in ways}
    for _ in range(RUNS):
        for words, way in ways.items():
            rates[words].append(a_core(way, COUNT))
    for words, figures in rates.items():
        yield words, "pictures/s", figures
    hours = [PUBLISHED * EPOCHS / figure / 3600 for figure in rates["a part of it scaled, by one core"]]
    yield "ImageNet's 90 epochs of parts, by one core", "hours", hours
    for threads in (0, 1, 2, 4):
        yield (
            f"as training gets them, {threads} threads, by the clock",
            "pictures/s",
            [streamed(data, crops, threads) for _ in range(RUNS)],
        )
    for depth in (18, 50):
        yield (
            f"taken by ResNet-{depth} in training, by one core",
            "pictures/s",
            [trained(data, depth, 8) for _ in range(3)],
        )
