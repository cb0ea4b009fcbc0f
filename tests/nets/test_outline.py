"""Counts of parameters, weights and work, against sums written out by hand and against plain modules."""

from __future__ import annotations

from itertools import pairwise

import pytest

from prunescope.nets import Outline, network
from tests.nets.modules import plain

MNIST, CIFAR, IMAGENET = (1, 28, 28), (3, 32, 32), (3, 224, 224)


def weights(outline: Outline, rule: str = "all") -> int:
    return sum(parameter.size for parameter in outline.prunable(rule))


def test_lenet_on_mnist_has_the_published_counts() -> None:
    outline = network("lenet", 3, 1.0, 10, MNIST).outline
    assert outline.total == (784 * 300 + 300) + (300 * 100 + 100) + (100 * 10 + 10) == 266_610
    assert weights(outline) == 784 * 300 + 300 * 100 + 100 * 10 == 266_200
    assert weights(outline, "all-but-output") == 784 * 300 + 300 * 100 == 265_200
    assert outline.multiplications == 266_200
    assert outline.activations == 300 + 100 + 10
    assert outline.dense


def test_deeper_lenets_repeat_the_second_hidden_layer() -> None:
    assert weights(network("lenet", 2, 1.0, 10, MNIST).outline) == 784 * 300 + 300 * 10
    assert weights(network("lenet", 5, 0.1, 10, MNIST).outline) == 784 * 30 + 30 * 10 + 2 * 10 * 10 + 10 * 10


def segment(blocks: int, channels: int, filters: int, shortcut: bool) -> int:
    """Return the weights of the convolutions of one segment."""
    first = 9 * channels * filters + 9 * filters * filters + (channels * filters if shortcut else 0)
    return first + (blocks - 1) * 2 * 9 * filters * filters


def resnet(blocks: int, a: int, b: int, c: int) -> int:
    """Return the weights of the convolutions of a ResNet with ``blocks`` blocks in each segment."""
    return 27 * a + segment(blocks, a, a, False) + segment(blocks, a, b, True) + segment(blocks, b, c, True)


@pytest.mark.parametrize(("depth", "blocks"), [(8, 1), (14, 2), (20, 3), (32, 5)])
def test_cifar_resnets_have_6d_and_2_layers(depth: int, blocks: int) -> None:
    outline = network("cifar-resnet", depth, 1.0, 10, CIFAR).outline
    normed = 16 + blocks * 2 * (16 + 32 + 64) + 32 + 64  # two of each channel; the shortcuts have norms of their own
    assert weights(outline) == resnet(blocks, 16, 32, 64) + 64 * 10
    assert weights(outline, "all-but-output") == resnet(blocks, 16, 32, 64)
    assert outline.total == resnet(blocks, 16, 32, 64) + 64 * 10 + 10 + 2 * normed
    assert sum(len(parameter.shape) > 1 for parameter in outline.parameters) == depth + 2
    assert not outline.dense


def test_the_counts_of_resnet_20_in_numbers() -> None:
    outline = network("cifar-resnet", 20, 1.0, 10, CIFAR).outline
    assert weights(outline) == 432 + 13_824 + 51_200 + 204_800 + 640 == 270_896
    assert outline.total == 270_896 + 10 + 2 * (16 + 6 * 112 + 96) == 272_474
    work = 432 * 1024 + 13_824 * 1024 + 51_200 * 256 + 204_800 * 64 + 640
    assert outline.multiplications == work


@pytest.mark.parametrize(("width", "filters"), [(1 / 16, (1, 2, 4)), (4, (64, 128, 256)), (0.01, (1, 1, 1))])
def test_width_multiplies_channels_and_leaves_one_at_least(width: float, filters: tuple[int, int, int]) -> None:
    outline = network("cifar-resnet", 20, width, 10, CIFAR).outline
    shapes = {parameter.name: parameter.shape for parameter in outline.parameters}
    assert tuple(shapes[f"segment{i}.block2.conv2.weight"][0] for i in range(3)) == filters
    assert weights(outline) == resnet(3, *filters) + 10 * filters[2]


def test_vgg_16_has_thirteen_convolutions_and_one_linear_layer() -> None:
    sizes = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    convolutions = sum(9 * a * b for a, b in pairwise(sizes))
    outline = network("vgg", 16, 1.0, 10, CIFAR).outline
    assert weights(outline, "all-but-output") == convolutions == 14_710_464
    assert weights(outline) == convolutions + 5_120
    assert outline.total == convolutions + 5_130 + 2 * sum(sizes[1:]) == 14_724_042


@pytest.mark.parametrize(
    ("family", "depth", "parameters", "multiplications"),
    [
        ("imagenet-resnet", 18, 11_689_512, 1_814_073_344),
        ("imagenet-resnet", 34, 21_797_672, 3_663_761_408),
        ("imagenet-resnet", 50, 25_557_032, 4_089_184_256),
        ("imagenet-resnet", 101, 44_549_160, 7_801_405_440),
        ("densenet", 121, 7_978_856, 2_834_161_664),
    ],
)
def test_networks_for_imagenet_have_the_published_counts(
    family: str, depth: int, parameters: int, multiplications: int
) -> None:
    """Those of torchvision, whose page gives 1.81, 3.66, 4.09, 7.80 and 2.83 thousand million multiply-adds."""
    outline = network(family, depth, 1.0, 1_000, IMAGENET).outline
    assert (outline.total, outline.multiplications) == (parameters, multiplications)
    matrices = [parameter for parameter in outline.parameters if len(parameter.shape) > 1]
    shortcuts = sum("shortcut" in parameter.name for parameter in matrices)
    assert len(matrices) - shortcuts == depth


@pytest.mark.parametrize(
    ("family", "depth", "parameters"),
    [("imagenet-resnet", 18, 11_173_962), ("imagenet-resnet", 50, 23_520_842), ("densenet", 121, 6_956_298)],
)
def test_small_pictures_are_not_halved_at_the_beginning(family: str, depth: int, parameters: int) -> None:
    """The counts for CIFAR-10 are those of implementations made for it."""
    assert network(family, depth, 1.0, 10, CIFAR).outline.total == parameters
    for side, kernel in ((64, 3), (65, 7)):
        outline = network(family, depth, 1.0, 10, (3, 8, side)).outline
        assert outline.parameters[0].shape[2:] == (kernel, kernel)


@pytest.mark.parametrize(("width", "growth"), [(1 / 16, 2), (0.37, 12), (0.01, 1)])
def test_the_width_of_a_densenet_is_that_of_its_growth(width: float, growth: int) -> None:
    shapes = {item.name: item.shape for item in network("densenet", 121, width, 10, CIFAR).outline.parameters}
    assert shapes["stem.conv.weight"][0] == 2 * growth
    assert shapes["segment3.layer15.conv1.weight"][0] == 4 * growth
    assert shapes["segment3.layer15.conv2.weight"][0] == growth
    channels = 2 * growth
    for segment, layers in enumerate((6, 12, 24, 16)):
        channels += layers * growth
        if segment < 3:
            assert shapes[f"transition{segment + 1}.conv.weight"] == (channels // 2, channels, 1, 1)
            channels //= 2
    assert shapes["output.weight"] == (10, channels)


@pytest.mark.parametrize("width", [1 / 16, 0.3])
def test_bottlenecks_give_four_times_what_is_within(width: float) -> None:
    shapes = {item.name: item.shape for item in network("imagenet-resnet", 50, width, 10, CIFAR).outline.parameters}
    for segment, full in enumerate((64, 128, 256, 512)):
        filters = round(full * width)
        assert shapes[f"segment{segment}.block2.conv2.weight"] == (filters, filters, 3, 3)
        assert shapes[f"segment{segment}.block2.conv3.weight"] == (4 * filters, filters, 1, 1)


@pytest.mark.parametrize(
    ("family", "depth", "width", "shape"),
    [
        ("lenet", 3, 1.0, MNIST),
        ("imagenet-resnet", 18, 0.3, CIFAR),
        ("imagenet-resnet", 101, 0.1, IMAGENET),
        ("densenet", 121, 0.2, CIFAR),
        ("densenet", 121, 0.1, IMAGENET),
        ("lenet", 6, 0.37, (3, 8, 8)),
        ("cifar-resnet", 20, 1.0, CIFAR),
        ("cifar-resnet", 14, 0.2, MNIST),
        ("vgg", 16, 0.25, CIFAR),
    ],
)
def test_names_and_shapes_are_those_of_a_plain_module(
    family: str, depth: int, width: float, shape: tuple[int, int, int]
) -> None:
    outline = network(family, depth, width, 7, shape).outline
    module = plain(family, shape, depth, width, 7)
    theirs = {name: tuple(values.shape) for name, values in module.named_parameters()}
    assert {parameter.name: parameter.shape for parameter in outline.parameters} == theirs
    buffers = {name: tuple(values.shape) for name, values in module.named_buffers() if "num_batches" not in name}
    assert {buffer.name: buffer.shape for buffer in outline.buffers} == buffers
    assert [parameter.name for parameter in outline.parameters if parameter.output] == ["output.weight", "output.bias"]
