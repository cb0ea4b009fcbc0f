"""Each hand-made piece beside what it replaces, on one core, in turns: seconds of the processor's time of a step.

Other processes take none of these seconds, but they take caches and memory bandwidth.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.clock import Figure
from benchmarks.ours import Shape, made_up
from benchmarks.plain import Loop, Transformed
from prunescope.nets.cohort import Layout
from prunescope.run.task_runner import hold_memory
from prunescope.run.tune import threads
from prunescope.train import TrainingContext
from prunescope.train.dense import DenseEngine
from prunescope.train.engine import AutogradEngine, Engine

ROUNDS, STEPS = 7, 3
SHARES = (1.0, 0.8, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
LENETS = (
    (Shape("mnist", "lenet", 3, 1.0, 4), "LeNet-300-100"),
    (Shape("mnist", "lenet", 3, 1 / 8, 8), "LeNet w=1/8"),
)
RESNETS = (
    (Shape("cifar10", "cifar-resnet", 20, 1.0, 1), "ResNet-20"),
    (Shape("cifar10", "cifar-resnet", 20, 1 / 4, 4), "ResNet-20 w=1/4"),
    (Shape("cifar10", "cifar-resnet", 8, 1 / 8, 8), "ResNet-8 w=1/8"),
    (Shape("cifar10", "cifar-resnet", 8, 1 / 16, 16), "ResNet-8 w=1/16"),
)
Call = Callable[[], object]


def _seconds(call: Call) -> float:
    begun = time.process_time()
    for _ in range(STEPS):
        call()
    return (time.process_time() - begun) / STEPS


def ratios(usual: Call, ours: Mapping[str, Call]) -> dict[str, list[float]]:
    """Return how many times as fast each call is as the usual one, in turns."""
    for call in (usual, *ours.values()):
        call()
    factors: dict[str, list[float]] = {name: [] for name in ours}
    for _ in range(ROUNDS):
        before = _seconds(usual)
        for name, call in ours.items():
            factors[name].append(before / _seconds(call))
    return factors


def _start(
    context: TrainingContext, members: int, share: float | None = None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return members' tensors, and masks that keep a share of each matrix."""
    chance = np.random.default_rng(0)
    tensors = context.stacked([context.network.start(chance) for _ in range(members)])
    if share is None:
        return tensors, {}
    matrices = [parameter.name for parameter in context.network.outline.parameters if parameter.matrix]
    masks = {name: torch.from_numpy(chance.random(tensors[name].shape) < share).float() for name in matrices}
    return {name: values * masks[name] if name in masks else values for name, values in tensors.items()}, masks


def _step(context: TrainingContext, engine: Engine, members: int) -> Call:
    """Return a step on a batch for each member, its pictures gathered."""
    batch = context.recipe.batch
    chance = np.random.default_rng(1)
    places = torch.from_numpy(chance.permutation(len(context.dataset.train_labels))[: members * batch])
    source = engine.examples(context.train_pictures, places.view(members, batch))
    order = torch.arange(batch).expand(members, -1)
    labels = torch.from_numpy(chance.integers(0, context.dataset.classes, (members, batch)))
    return lambda: engine.step(source.take(order), labels, 1e-6)


def _made(context: TrainingContext, members: int, share: float | None = None) -> Call:
    return _step(context, context.engine(*_start(context, members, share)), members)


def lenets(shape: Shape, words: str) -> Iterator[Figure]:
    """Measure steps written out, sparse steps and bfloat16 beside what they replace."""
    members = shape.members
    context = shape.bench(Layout(members))
    tensors, _ = _start(context, members)
    dense = _step(context, DenseEngine(context.network, context.recipe, tensors, {}), members)
    autograd = AutogradEngine(context.network, context.recipe, tensors, {}, context.layout)
    half = replace(shape, precision="bfloat16").bench(Layout(members))
    for values in ratios(_step(context, autograd, members), {"dense": dense}).values():
        yield f"{words}: autograd / a step written out", "times", values
    for values in ratios(dense, {"half": _made(half, members)}).values():
        yield f"{words}: float32 / bfloat16", "times", values
    sparse = context.with_sparse_below(1.0)
    if sparse.sparse_kernels is None:
        return
    factors = ratios(dense, {f"{share:g}": _made(sparse, members, share) for share in SHARES})
    for share, values in factors.items():
        yield f"{words}, {share} of the weights kept: dense / sparse step", "times", values


def products() -> Iterator[Figure]:
    """Measure torch's sparse products beside its dense ones: forward, and the gradient of the kept weights."""
    x, change, whole = torch.randn(784, 128), torch.randn(300, 128), torch.randn(300, 784)

    def dense() -> None:
        torch.mm(whole, x)
        torch.mm(change, x.t())

    for share in (0.2, 0.1, 0.05, 0.02, 0.01):
        kept = whole * (torch.rand(whole.shape) < share)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that torch's sparse tensors are in beta
            compressed = kept.to_sparse_csr()

        def sparse(compressed: Tensor = compressed) -> None:
            torch.mm(compressed, x)
            torch.sparse.sampled_addmm(compressed, change, x.t(), beta=0.0)

        for values in ratios(dense, {"torch": sparse}).values():
            yield f"layer 300 x 784, {share:g} kept: dense / torch's sparse products", "times", values


def resnets(shape: Shape, words: str) -> Iterator[Figure]:
    """Measure planar convolutions beside torch's grouped ones in their best layout, and bfloat16."""
    members = shape.members
    layouts = {Layout(1, 1), Layout(members, 1), Layout(members, min(members, 8))}
    usual = [_made(shape.bench(layout), members) for layout in sorted(layouts, key=lambda item: item.pack)]
    best = min(usual, key=lambda call: (call(), _seconds(call))[1])
    for values in ratios(best, {"planar": _made(shape.bench(Layout(members, planar=True)), members)}).values():
        yield f"{words}: torch's best layout / planar", "times", values
    if members == 1:
        half = replace(shape, precision="bfloat16").bench(Layout(members))
        for values in ratios(best, {"half": _made(half, members)}).values():
            yield f"{words}: float32 / bfloat16", "times", values


def loops(shape: Shape, words: str) -> Iterator[Figure]:
    """Measure dense steps of a cohort beside steps of a plain loop."""
    members = shape.members
    loop = Loop(made_up(shape.dataset), shape.recipe, shape.family, shape.depth, shape.width, shape.device)
    for values in ratios(lambda: loop.seconds(1), {"ours": _made(shape.bench(Layout(members)), members)}).values():
        yield f"{words}, dense: a plain loop on one thread / ours", "times", [members * value for value in values]


def pictures() -> Iterator[Figure]:
    """Measure a batch from memory beside one from a DataLoader."""
    shape = LENETS[0][0]
    context = shape.bench()
    loader = DataLoader(Transformed(context.dataset, moved=False), context.recipe.batch, shuffle=True)
    batches = iter(loader)
    chance = torch.Generator().manual_seed(0)
    count = len(context.dataset.train_labels)

    def ours() -> Tensor:
        return context.train_pictures.take(torch.randint(0, count, (1, context.recipe.batch), generator=chance))

    for values in ratios(lambda: next(batches), {"memory": ours}).values():
        yield "a batch of MNIST-sized pictures: DataLoader / from memory", "times", values


def measure() -> Iterator[Figure]:
    """Measure all pieces."""
    hold_memory()
    with threads(1):
        for shape, words in LENETS:
            yield from loops(shape, words)
            yield from lenets(shape, words)
        yield from products()
        for shape, words in RESNETS:
            yield from resnets(shape, words)
        yield from pictures()
