"""A user's own ``nn.Module``, made by ``make(depth, width, classes)``, trained in a cohort without being rewritten.

The generic route: `torch.func.functional_call` under `torch.func.vmap` over members. A module that draws random numbers
(dropout), or that vmap cannot follow, is computed member by member instead, and its outline says why; everything else
of a cohort stays. What such a member draws from torch follows from a seed among its buffers, which grows by one with
every step: other members change nothing, and an interrupted ladder draws what it would have drawn.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from prunescope.errors import Fault, InputError, listed, said
from prunescope.nets.cohort import Layout
from prunescope.nets.network import Flags
from prunescope.nets.outline import Buffer, Outline, ParameterOutline, Shape, Start
from prunescope.study.sections import NormStart

_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")  # of attention, beside a layer
_UNBATCHED = "There is a performance drop because we have not yet implemented the batching rule for "
SEED = "prunescope.seed"  # the buffer that a member's random numbers follow from


class Custom:
    """A network from a user's factory.

    Parameters
    ----------
    make
        ``make(depth, width, classes)``, or with a further ``shape`` = (channels, height, width), returns a module that
        takes pictures ``[B, channels, height, width]`` and returns logits ``[B, classes]``.
    name
        How the study calls it.

    Attributes
    ----------
    together
        Whether members of a cohort are computed together.
    """

    pictures = True

    def __init__(
        self, make: Callable[..., object], name: str, shape: Shape, depth: int, width: float, classes: int
    ) -> None:
        self._make = make
        self._name = name
        self._shape = shape
        self._depth = depth
        self._width = width
        self._classes = classes
        self._module = self._make_module(0)
        self.outline = self._outlined()

    def _make_module(self, seed: int) -> nn.Module:
        """Call the factory with torch's seed set, and leave torch's own state as it was."""
        wanted: dict[str, object] = {"depth": self._depth, "width": self._width, "classes": self._classes}
        if "shape" in inspect.signature(self._make).parameters:
            wanted["shape"] = self._shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                module = self._make(**wanted)
            except Exception as trouble:
                must = f"must make a network of depth {self._depth}, width {self._width:g}, {self._classes} classes"
                hint = f"It is called with {listed(wanted)} by name."
                raise self._fault(must, said(trouble), hint) from trouble
        if not isinstance(module, nn.Module):
            raise self._fault("must return a torch.nn.Module", type(module).__name__)
        return module.to(device="cpu", dtype=torch.float32)

    def _fault(self, must: str, got: str, hint: str = "") -> InputError:
        return InputError("networks", [Fault(self._name, must, got, hint)])

    def _outlined(self) -> Outline:
        """Count parameters, multiplications and activations, by one example's way through the module."""
        module = self._module
        layers = [submodule for submodule in module.modules() if isinstance(submodule, _WEIGHTED)]
        attentions = [submodule for submodule in module.modules() if isinstance(submodule, nn.MultiheadAttention)]
        activations = 0

        def count(submodule: nn.Module, _: object, result: Tensor | tuple[Tensor, ...]) -> None:
            nonlocal activations
            # Attention leaves queries, keys, values and a result behind, each before and after the products.
            activations += 2 * result[0].numel() if isinstance(result, Tensor) else 8 * result[0].numel()

        hooks = [submodule.register_forward_hook(count) for submodule in (*layers, *attentions)]
        flops = FlopCounterMode(display=False)
        try:
            module.eval()
            with torch.no_grad(), _attention_by_products(torch.device("cpu")), flops:
                result = module(torch.zeros(1, *self._shape))
        except Exception as trouble:
            raise self._fault(f"must take pictures of shape {self._shape}", said(trouble)) from trouble
        finally:
            for hook in hooks:
                hook.remove()
        if not isinstance(result, Tensor) or result.shape != (1, self._classes):
            got = str(tuple(result.shape)) if isinstance(result, Tensor) else type(result).__name__
            raise self._fault(f"must return logits of shape (1, {self._classes}) for one picture", got)
        parameters = parameter_outlines(module)
        if not any(parameter.weight for parameter in parameters):
            raise self._fault("must have linear layers or convolutions to prune", "none")
        if not any(parameter.trained for parameter in parameters):
            raise self._fault("must have parameters to train", "requires_grad=False everywhere")
        buffers = tuple(Buffer(name, tuple(value.shape), 0.0) for name, value in module.named_buffers())
        counted = flops.get_total_flops() // 2  # a product and its sum count as two
        self.together, slow = self._followed()
        if not self.together:
            buffers += (Buffer(SEED, (), 0.0),)
        return Outline(parameters, buffers, counted, max(activations, 1), dense=False, slow=slow)

    def module(self) -> nn.Module:
        """Return a module as the factory makes it, to be given other tensors."""
        return self._make_module(0)

    def start(self, rng: np.random.Generator, norms: NormStart = "uniform") -> dict[str, np.ndarray]:
        """Let the factory make one member, with torch's seed drawn from ``rng``; it decides about normalisations."""
        del norms
        module = self._make_module(int(rng.integers(2**63)))
        drawn = {name: value.detach().numpy().copy() for name, value in _state(module)}
        return drawn if self.together else drawn | {SEED: np.array(rng.integers(2**62))}

    def _followed(self) -> tuple[bool, str]:
        """Return whether vmap can follow the module without drawing random numbers, and what is slow about it."""
        tensors = {
            name: value.detach().unsqueeze(0).repeat(2, *[1] * value.ndim) for name, value in _state(self._module)
        }
        x = torch.zeros(2, 2, *self._shape)
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter("always")
            try:
                for training in (True, False):
                    self._mapped(dict(tensors), x, training)
            except Exception as trouble:
                if "randomness" in str(trouble):
                    return False, "members are computed one at a time, since the module draws random numbers (dropout)"
                words = "members are computed one at a time, since vmap cannot follow the module"
                return False, f"{words}: {said(trouble).partition('. ')[0]}"
        unbatched = re.findall(rf"{_UNBATCHED}([\w:]+)", "\n".join(str(warning.message) for warning in noted))
        words = f"members are computed one at a time in {listed(dict.fromkeys(unbatched))}, which vmap cannot batch"
        return True, words if unbatched else ""

    def _mapped(self, tensors: Mapping[str, Tensor], x: Tensor, training: bool) -> Tensor:
        self._module.train(training)

        def one(member_tensors: dict[str, Tensor], pictures: Tensor) -> Tensor:
            result: Tensor = torch.func.functional_call(self._module, member_tensors, (pictures,))
            return result

        with _attention_by_products(x.device):
            logits: Tensor = torch.func.vmap(one, randomness="error")(dict(tensors), x)
        return logits

    def logits(self, tensors: Mapping[str, Tensor], x: Tensor, training: bool, layout: Layout) -> Tensor:
        """Return the logits ``[R, B, classes]`` of stacked members; buffers are updated in place in training."""
        x = x.permute(0, 1, 4, 2, 3).contiguous()  # as a user's module is given pictures elsewhere
        if layout.together > 1 and self.together:
            with warnings.catch_warnings():  # the outline says it
                warnings.filterwarnings("ignore", _UNBATCHED)
                passes = [
                    self._mapped(part, pictures, training)
                    for part, pictures in zip(
                        _cut(tensors, layout.together), torch.split(x, layout.together), strict=True
                    )
                ]
            return passes[0] if len(passes) == 1 else torch.cat(passes)
        self._module.train(training)
        members = zip(_cut(tensors, 1), x, strict=True)
        return torch.stack([self._alone(part, pictures, training) for part, pictures in members])

    def _alone(self, tensors: Mapping[str, Tensor], pictures: Tensor, training: bool) -> Tensor:
        member_tensors = {name: tensor[0] for name, tensor in tensors.items()}
        seed = member_tensors.pop(SEED, None)
        with _seeded(seed, pictures.device):
            logits: Tensor = torch.func.functional_call(self._module, member_tensors, (pictures,))
        if seed is not None and training:
            seed.add_(1)
        return logits

    def connected(self, masks: Mapping[str, Flags]) -> bool:
        """Tell whether every layer keeps a weight: the ways through a stranger's module are not known."""
        return all(bool(mask.any()) for mask in masks.values())


def parameter_outlines(module: nn.Module) -> tuple[ParameterOutline, ...]:
    """Return what the parameters of a module are: which are weights that pruning may remove from, which are trained.

    By identity, not by name: a tied weight has several names, and torch lists it once, under the first.
    """
    weights = {id(submodule.weight) for submodule in module.modules() if isinstance(submodule, _WEIGHTED)}
    attentions = [submodule for submodule in module.modules() if isinstance(submodule, nn.MultiheadAttention)]
    parts = [getattr(attention, name, None) for attention in attentions for name in _PROJECTIONS]
    known = weights | {id(part) for part in parts if part is not None}
    named = list(module.named_parameters())
    last = [name for name, value in named if id(value) in (weights or known)][-1:]
    return tuple(
        ParameterOutline(
            name,
            tuple(value.shape),
            Start.SHIFT,
            weight=id(value) in known,
            output=name in last,
            trained=value.requires_grad,
        )
        for name, value in named
    )


def _cut(tensors: Mapping[str, Tensor], size: int) -> Iterator[dict[str, Tensor]]:
    """Yield the tensors of so many members at a time.

    Cut all at once: the gradient of a slice is as large as the whole, one for each slice.
    """
    parts = {name: torch.split(tensor, size) for name, tensor in tensors.items()}
    for place in range(len(next(iter(parts.values())))):
        yield {name: cut[place] for name, cut in parts.items()}


def _state(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


@contextmanager
def _attention_by_products(device: torch.device) -> Iterator[None]:
    """Compute attention without the fused kernels that vmap cannot batch over members."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _seeded(seed: Tensor | None, device: torch.device) -> Iterator[None]:
    """Draw from a seed for a while, and leave torch's own state as it was."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(seed))
        yield
