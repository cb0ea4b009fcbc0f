"""The families of the papers, each written once, and networks by family name, library or import path.

Sizes are rounded to whole units, never below one. What the papers leave open is a choice of this project: LeNets deeper
than three layers repeat the second hidden layer, and convolutions have no bias, since each leads to a normalisation
with a shift of its own. Networks made for ImageNet begin otherwise where pictures are small (`SMALL`), as is usual.

Networks of timm and torchvision are named ``timm:resnet18``, where those are installed. They start from drawn weights:
nothing is downloaded. Classes and channels are those of the dataset.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from prunescope.errors import Fault, InputError, MissingPackageError, clipped, nearest
from prunescope.nets.network import Designed, Network
from prunescope.nets.ops import Design, Ops
from prunescope.nets.outline import Shape
from prunescope.study.catalogue import is_import_path, is_library_name
from prunescope.study.import_path import import_function

if TYPE_CHECKING:
    from torch import nn

SMALL = 64  # pixels a side, up to which a network made for larger pictures begins without halving them


def units(full: int, width: float) -> int:
    """Return how many units or channels a layer has at a width factor."""
    return max(1, round(full * width))


def _lenet(net: Ops, x: Any, depth: int, width: float, classes: int) -> Any:
    """LeNet-300-100: fully connected; 300 units in the first hidden layer, 100 in each further one."""
    x = net.flatten(x)
    for layer in range(1, depth):
        x = net.relu(net.linear(x, f"hidden{layer}", units(300 if layer == 1 else 100, width)))
    return net.linear(x, "output", classes)


def _cifar_resnet(net: Ops, x: Any, depth: int, width: float, classes: int) -> Any:
    """ResNet of 6D + 2 layers (He et al. 2016): three segments of D blocks; 1x1 convolutions where shapes change."""
    blocks = (depth - 2) // 6
    x = net.relu(net.norm(net.conv(x, "stem.conv", units(16, width)), "stem.norm"))
    for segment, full in enumerate((16, 32, 64)):
        filters = units(full, width)
        for block in range(blocks):
            stride = 2 if segment > 0 and block == 0 else 1
            x = _block(net, x, f"segment{segment}.block{block}", filters, stride)
    return net.linear(net.mean_pool(x), "output", classes)


def _block(net: Ops, x: Any, name: str, filters: int, stride: int) -> Any:
    y = net.relu(net.norm(net.conv(x, f"{name}.conv1", filters, stride=stride), f"{name}.norm1"))
    y = net.norm(net.conv(y, f"{name}.conv2", filters), f"{name}.norm2", last=True)
    return net.relu(net.add(_shortcut(net, x, name, filters, stride), y))


def _bottleneck(net: Ops, x: Any, name: str, filters: int, stride: int) -> Any:
    y = net.relu(net.norm(net.conv(x, f"{name}.conv1", filters, kernel=1), f"{name}.norm1"))
    y = net.relu(net.norm(net.conv(y, f"{name}.conv2", filters, stride=stride), f"{name}.norm2"))
    y = net.norm(net.conv(y, f"{name}.conv3", 4 * filters, kernel=1), f"{name}.norm3", last=True)
    return net.relu(net.add(_shortcut(net, x, name, 4 * filters, stride), y))


def _shortcut(net: Ops, x: Any, name: str, out: int, stride: int) -> Any:
    if stride == 1 and net.channels(x) == out:
        return x
    return net.norm(net.conv(x, f"{name}.shortcut.conv", out, kernel=1, stride=stride), f"{name}.shortcut.norm")


# Blocks of each segment by depth; from 50 layers on they are bottlenecks, whose stride is that of the 3x3 convolution.
_RESNET_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def _imagenet_resnet(net: Ops, x: Any, depth: int, width: float, classes: int) -> Any:
    """ResNet-18, -34, -50 and -101 (He et al. 2016): four segments of 64, 128, 256, 512 filters."""
    make = _bottleneck if depth >= 50 else _block
    small = net.side(x) <= SMALL
    kernel, stride = (3, 1) if small else (7, 2)
    x = net.relu(net.norm(net.conv(x, "stem.conv", units(64, width), kernel, stride), "stem.norm"))
    x = x if small else net.max_pool_3(x)
    for segment, blocks in enumerate(_RESNET_BLOCKS[depth]):
        for block in range(blocks):
            stride = 2 if segment > 0 and block == 0 else 1
            x = make(net, x, f"segment{segment}.block{block}", units(64 * 2**segment, width), stride)
    return net.linear(net.mean_pool(x), "output", classes)


_DENSENET_LAYERS = (6, 12, 24, 16)


def _densenet(net: Ops, x: Any, depth: int, width: float, classes: int) -> Any:
    """DenseNet-121 (Huang et al. 2017), with bottlenecks and compression by a half; width is that of its growth, 32.

    Every layer reads all before it. Small pictures enter the first layer right after the first convolution.
    """
    del depth  # there is one
    growth = units(32, width)
    if net.side(x) <= SMALL:
        x = net.conv(x, "stem.conv", 2 * growth)
    else:
        x = net.relu(net.norm(net.conv(x, "stem.conv", 2 * growth, 7, 2), "stem.norm"))
        x = net.max_pool_3(x)
    for segment, layers in enumerate(_DENSENET_LAYERS):
        if segment:
            name = f"transition{segment}"
            y = net.relu(net.norm(x, f"{name}.norm"))
            x = net.halve(net.conv(y, f"{name}.conv", net.channels(x) // 2, kernel=1))
        for layer in range(layers):
            name = f"segment{segment}.layer{layer}"
            y = net.conv(net.relu(net.norm(x, f"{name}.norm1")), f"{name}.conv1", 4 * growth, kernel=1)
            x = net.concat(x, net.conv(net.relu(net.norm(y, f"{name}.norm2")), f"{name}.conv2", growth))
    return net.linear(net.mean_pool(net.relu(net.norm(x, "norm"))), "output", classes)


_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def _vgg(net: Ops, x: Any, depth: int, width: float, classes: int) -> Any:
    """VGG-16 for small pictures: thirteen convolutions, pooled between groups, then one linear layer."""
    del depth  # there is one
    layer = 0
    for group, sizes in enumerate(_VGG16):
        x = net.max_pool(x) if group else x
        for full in sizes:
            x = net.relu(net.norm(net.conv(x, f"conv{layer}", units(full, width)), f"norm{layer}"))
            layer += 1
    return net.linear(net.mean_pool(x), "output", classes)


DESIGNS: dict[str, Design] = {
    "lenet": _lenet,
    "cifar-resnet": _cifar_resnet,
    "vgg": _vgg,
    "imagenet-resnet": _imagenet_resnet,
    "densenet": _densenet,
}


def factory_of(family: str) -> Callable[..., object]:
    """Return the function that makes networks of a family that is no design: a user's own, or a library's."""
    if is_library_name(family):
        return _library_factory(family)
    return import_function(family)


@lru_cache(maxsize=256)
def network(family: str, depth: int, width: float, classes: int, shape: Shape) -> Network:
    """Return a member of a family for pictures of a shape (channels, height, width)."""
    if family in DESIGNS:
        return Designed(DESIGNS[family], shape, depth, width, classes)
    if is_import_path(family) or is_library_name(family):
        from prunescope.nets.custom import Custom

        return Custom(factory_of(family), family, shape, depth, width, classes)
    must = f"must be one of {', '.join(DESIGNS)}, or package.module:function"
    raise InputError("networks", [Fault("family", must, clipped(family), nearest(family, DESIGNS))])


def _library_factory(name: str) -> Callable[..., object]:
    """Return what makes the networks of a name, as `custom.Custom` calls it."""
    library, _, model = name.partition(":")
    if find_spec(library) is None:
        raise MissingPackageError(f"networks of {name} need {library}: pip install {library}")
    return partial(_of_timm if library == "timm" else _of_torchvision, model)


def _of_timm(model: str, depth: int, width: float, classes: int, shape: Shape) -> object:
    del depth, width  # the name says them
    make = import_module("timm").create_model
    return make(model, pretrained=False, num_classes=classes, in_chans=shape[0])


def _of_torchvision(model: str, depth: int, width: float, classes: int, shape: Shape) -> object:
    del depth, width
    made = import_module("torchvision.models").get_model(model, weights=None, num_classes=classes)
    return _with_channels(made, shape[0])


def _with_channels(module: nn.Module, channels: int) -> nn.Module:
    """Let the first convolution take pictures of so many channels; torchvision's take three."""
    from torch import nn

    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d):
            if name and layer.in_channels != channels:
                first = nn.Conv2d(
                    channels,
                    layer.out_channels,
                    layer.kernel_size,  # type: ignore[arg-type]
                    layer.stride,  # type: ignore[arg-type]
                    layer.padding,  # type: ignore[arg-type]
                    layer.dilation,  # type: ignore[arg-type]
                    bias=layer.bias is not None,
                )
                module.set_submodule(name, first)
            break
    return module
