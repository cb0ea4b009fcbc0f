"""A model of somebody's own as a ladder sees it: named tensors, and the layers that pruning may remove from.

A parameter that several layers share stands once, under its first name. Buffers that a model does not save are left
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import torch
from torch import Tensor, nn

from prunescope.errors import Fault, InputError, listed, nearest
from prunescope.nets.outline import ParameterOutline, Start

Prunable = str | Sequence[str] | Callable[[str, nn.Parameter], bool]
"""``all``, ``all-but-output``, names and patterns (``!`` excludes), or a function of a parameter's name and itself."""

_WEIGHTED = (nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd)
_ATTENTION = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside what compiles it or trains it on several devices."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


@dataclass(frozen=True)
class ModuleState:
    """A model's tensors, and which of them are pruned.

    Attributes
    ----------
    layers
        The prunable ones, in the model's order.
    left_alone
        Names of the other matrices.
    """

    module: nn.Module
    layers: tuple[ParameterOutline, ...]
    left_alone: tuple[str, ...]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the parameters and the buffers that the model saves."""
        yield from self.module.named_parameters()
        saved = self.module.state_dict(keep_vars=True)
        yield from ((name, buffer) for name, buffer in self.module.named_buffers() if name in saved)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the prunable parameters by name."""
        parameters = dict(self.module.named_parameters())
        return {layer.name: parameters[layer.name] for layer in self.layers}

    @property
    def total(self) -> int:
        """All parameters, counted."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(iter(self.module.parameters())).device

    def arrays(self) -> dict[str, np.ndarray]:
        """Return copies of the tensors; types that numpy lacks as float32, which holds them exactly."""
        return {name: _array(tensor) for name, tensor in self.tensors()}

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Set the tensors in place."""
        tensors = dict(self.tensors())
        changed = [name for name in tensors if name in arrays and tuple(tensors[name].shape) != arrays[name].shape]
        missing = sorted(set(tensors) ^ set(arrays))
        if changed or missing:
            raise _other_model([*changed, *missing])
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(torch.from_numpy(arrays[name]))

    def outline(self) -> list[list[object]]:
        """Return names and shapes of the prunable layers, as plain content."""
        return [[layer.name, list(layer.shape)] for layer in self.layers]

    def refuse_other(self, outline: object) -> None:
        """Refuse a model whose layers differ from those at rung 0."""
        if outline == self.outline():
            return
        before = {str(name): shape for name, shape in outline} if isinstance(outline, list) else {}
        now = {layer.name: list(layer.shape) for layer in self.layers}
        raise _other_model([name for name in {**before, **now} if before.get(name) != now.get(name)] or ["their order"])


def _other_model(names: Sequence[str]) -> InputError:
    must = "must have the shapes and names of rung 0: every rung trains the same network, made anew"
    return InputError("the recorder", [Fault("the model", must, f"changes in {listed(names, 4)}")])


def _array(tensor: Tensor) -> np.ndarray:
    value = tensor.detach()
    if value.is_floating_point() and value.dtype not in (torch.float16, torch.float32, torch.float64):
        value = value.float()
    return value.cpu().numpy().copy()


def module_state(model: nn.Module, prunable: Prunable) -> ModuleState:
    """Return a model's tensors and prunable layers.

    Layers that are frozen are pruned only where a pattern or a function picks them.
    """
    if not isinstance(model, nn.Module):
        raise InputError("the recorder", [Fault("the model", "must be a torch.nn.Module", type(model).__name__)])
    _refuse_sharded(model)
    module = unwrapped(model)
    named = dict(module.named_parameters())
    weights = _weights(module, named)
    trained = [name for name in weights if named[name].requires_grad]
    if callable(prunable):
        picked = [name for name, parameter in named.items() if prunable(name, parameter)]
    elif isinstance(prunable, str):
        picked = trained if prunable == "all" else [name for name in trained if name != weights[-1]]
    else:
        picked = _matching(named, weights, prunable)
    if not picked:
        raise InputError(
            "the recorder", [Fault("the model", "must have layers to prune: linear ones or convolutions", "none")]
        )
    layers = tuple(ParameterOutline(name, tuple(named[name].shape), Start.SHIFT, weight=True) for name in picked)
    alone = tuple(name for name, parameter in named.items() if parameter.ndim > 1 and name not in picked)
    return ModuleState(module, layers, alone)


def _weights(module: nn.Module, named: Mapping[str, nn.Parameter]) -> list[str]:
    """Return the names of the weights of linear layers, convolutions and attention, in the model's order."""
    known = set()
    for submodule in module.modules():
        if isinstance(submodule, _WEIGHTED):
            known.add(id(submodule.weight))
        elif isinstance(submodule, nn.MultiheadAttention):
            known |= {id(getattr(submodule, name)) for name in _ATTENTION}
    return [name for name, parameter in named.items() if id(parameter) in known]


def _matching(named: Mapping[str, nn.Parameter], weights: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Return the weights that patterns name: of a layer, of a parameter, or with ``*``; the last that fits decides."""
    including = [pattern for pattern in patterns if not pattern.startswith("!")]
    faults = []
    picked: dict[str, bool] = {} if including else dict.fromkeys(weights, True)
    for pattern in patterns:
        bare = pattern.removeprefix("!")
        fits = [name for name in named if _fits(name, bare)]
        # A parameter that is named whole is pruned, whatever its kind; of what a pattern fits, weights alone.
        fits = [name for name in fits if name in weights or name == bare]
        if not fits:
            hint = nearest(bare, [*named, *(name.rpartition(".")[0] for name in weights)])
            faults.append(Fault("prunable", "must name weights of the model", pattern, hint))
        picked |= dict.fromkeys(fits, not pattern.startswith("!"))
    if faults:
        raise InputError("the recorder", faults)
    return [name for name in named if picked.get(name)]


def _fits(name: str, pattern: str) -> bool:
    return name == pattern or name.startswith(f"{pattern}.") or fnmatchcase(name, pattern)


def _refuse_sharded(model: nn.Module) -> None:
    """Refuse parameters that are flattened, spread over processes or not made yet."""
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            must = "must have been made: show the model one batch first"
        elif type(parameter).__name__ == "FlatParameter" or name.endswith("_flat_param"):
            must = "must be whole tensors, not flattened ones (FSDP); DistributedDataParallel keeps them whole"
        elif hasattr(parameter, "device_mesh") or hasattr(parameter, "ds_id"):
            must = "must be whole tensors, not spread over processes; DistributedDataParallel keeps them whole"
        else:
            continue
        raise InputError("the recorder", [Fault("the model's parameters", must, name)])


def optimized(optimizers: Iterable[object]) -> set[int]:
    """Return which tensors optimizers hold, by their `id`."""
    held = set()
    for optimizer in optimizers:
        groups = getattr(optimizer, "param_groups", None)
        if not isinstance(groups, list):
            must = "must be an optimizer, with parameters in `param_groups`"
            raise InputError("the recorder", [Fault("the optimizer", must, type(optimizer).__name__)])
        held |= {id(parameter) for group in groups for parameter in group["params"]}
    return held


def check_optimizers(state: ModuleState, optimizers: Sequence[object]) -> None:
    """Refuse optimizers that do not hold the tensors of the layers to prune."""
    held = optimized(optimizers)
    trained = {name: parameter for name, parameter in state.module.named_parameters() if parameter.requires_grad}
    missing = [name for name, parameter in state.parameters().items() if name in trained and id(parameter) not in held]
    if missing and held.isdisjoint(map(id, trained.values())):
        must = "must hold the tensors of this model: make it from model.parameters(), after the model is in its place"
        raise InputError("the recorder", [Fault("the optimizer", must, "tensors of another model")])
    if missing:
        must = "must hold every layer that is pruned; freeze the others with requires_grad_(False)"
        raise InputError("the recorder", [Fault("the optimizer", must, f"none of {listed(missing, 4)}")])
