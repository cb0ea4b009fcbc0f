"""Networks by their names in timm and torchvision, where those are installed: ``timm:resnet18``, ``torchvision:vgg11``.

They start from drawn weights: nothing is downloaded. Classes and channels are those of the dataset.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec

from torch import nn

from prunescope.errors import MissingPackageError
from prunescope.nets.outline import Shape


def library_factory(name: str) -> Callable[..., object]:
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
