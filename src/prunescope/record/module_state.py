"""A model of somebody's own as a ladder sees it: named tensors, and the layers that pruning may remove from.

A parameter that several layers share stands once, under its first name. Buffers that a model does not save are left
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from prunescope.errors import Fault, InputError, listed, nearest
from prunescope.nets.custom import parameter_outlines
from prunescope.nets.outline import Outline, ParameterOutline


def refusal(place: str, must: str, got: str = "", hint: str = "", source: str = "the recorder") -> InputError:
    """Return the error that tells one fault."""
    return InputError(source, [Fault(place, must, got, hint)])


Prunable = str | Sequence[str] | Callable[[str, nn.Parameter], bool]
"""``all``, ``all-but-output``, names and patterns (``!`` excludes), or a function of a parameter's name and itself."""


def _unwrapped(model: nn.Module) -> nn.Module:
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
        The other matrices, each with the reason.
    passed_over
        Those among them that are trained, and left alone only because the usual rule knows no such layer.
    """

    module: nn.Module
    layers: tuple[ParameterOutline, ...]
    left_alone: Mapping[str, str]
    passed_over: tuple[ParameterOutline, ...] = ()

    @property
    def size(self) -> int:
        """How many weights may be pruned."""
        return sum(layer.size for layer in self.layers)

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
        return {name: plain_array(tensor) for name, tensor in self.tensors()}

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
    return refusal("the model", must, f"changes in {listed(names, 4)}")


def plain_array(tensor: Tensor) -> np.ndarray:
    """Return a copy of a tensor; types that numpy lacks as float32, which holds them exactly."""
    value = tensor.detach()
    if value.is_floating_point() and value.dtype not in (torch.float16, torch.float32, torch.float64):
        value = value.float()
    return value.cpu().numpy().copy()


def module_state(model: nn.Module, prunable: Prunable) -> ModuleState:
    """Return a model's tensors and prunable layers.

    Layers that are frozen are pruned only where a pattern or a function picks them.
    """
    if not isinstance(model, nn.Module):
        raise refusal("the model", "must be a torch.nn.Module", type(model).__name__)
    _refuse_sharded(model)
    module = _unwrapped(model)
    outline = Outline(parameter_outlines(module), (), 0, 1, dense=False)
    passed_over: tuple[ParameterOutline, ...] = ()
    if callable(prunable):
        named = dict(module.named_parameters())
        layers = tuple(item for item in outline.parameters if item.matrix and prunable(item.name, named[item.name]))
        alone = {
            item.name: "the rule leaves it out" for item in outline.parameters if item.matrix and item not in layers
        }
    else:
        rule = prunable if isinstance(prunable, str) else tuple(prunable)
        if strangers := outline.strangers(rule):
            hint = nearest(strangers[0].removeprefix("!"), [item.name for item in outline.parameters if item.matrix])
            must = "must name matrices of the model"
            raise refusal("prunable", must, listed(strangers), hint)
        layers, alone = outline.prunable(rule), outline.left_alone(rule)
        if isinstance(rule, str):
            unknown = (item for item in outline.parameters if item.matrix and item.trained and not item.weight)
            passed_over = tuple(unknown)
    if not layers:
        must = "must have layers to prune: linear ones, convolutions or attention, that are trained"
        raise refusal("the model", must, "none")
    state = ModuleState(module, layers, alone, passed_over)
    if numbers := [name for name, tensor in state.tensors() if tensor.is_complex()]:
        raise refusal("the model", "must have real tensors", f"complex: {listed(numbers, 4)}")
    return state


def _refuse_sharded(model: nn.Module) -> None:
    """Refuse parameters that are flattened, spread over processes or not made yet."""
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            must = "must have been made: show the model one batch first"
        elif type(parameter).__name__ == "FlatParameter" or name.endswith("_flat_param"):
            must = "must be whole tensors, not flattened ones (FSDP); DistributedDataParallel keeps them whole"
        elif hasattr(parameter, "device_mesh") or hasattr(parameter, "ds_id"):
            must = "must be whole tensors, not spread over processes; DistributedDataParallel keeps them whole"
        elif parameter.is_meta:
            must = "must have been made, not be on the meta device"
        else:
            continue
        raise refusal("the model's parameters", must, name)


def optimized(optimizers: Iterable[object]) -> set[int]:
    """Return which tensors optimizers hold, by their `id`."""
    held = set()
    for optimizer in optimizers:
        groups = getattr(optimizer, "param_groups", None)
        if not isinstance(groups, list):
            must = "must be an optimizer, with parameters in `param_groups`"
            raise refusal("the optimizer", must, type(optimizer).__name__)
        held |= {id(parameter) for group in groups for parameter in group["params"]}
    return held


def check_optimizers(state: ModuleState, optimizers: Sequence[object]) -> None:
    """Refuse optimizers that do not hold the tensors of the layers to prune."""
    held = optimized(optimizers)
    trained = {name: parameter for name, parameter in state.module.named_parameters() if parameter.requires_grad}
    missing = [name for name, parameter in state.parameters().items() if name in trained and id(parameter) not in held]
    if missing and held.isdisjoint(map(id, trained.values())):
        must = "must hold the tensors of this model: make it from model.parameters(), after the model is in its place"
        raise refusal("the optimizer", must, "tensors of another model")
    if any(_has_stepped(optimizer) for optimizer in optimizers):
        must = "must be made anew for each rung"
        raise refusal("the optimizer", must, "one that has taken steps")
    if missing:
        must = "must hold every layer that is pruned; freeze the others with requires_grad_(False)"
        raise refusal("the optimizer", must, f"none of {listed(missing, 4)}")


def _has_stepped(optimizer: object) -> bool:
    """Whether an optimizer knows of steps; some count them from 0 before the first."""
    state = getattr(optimizer, "state", None)
    if not isinstance(state, Mapping):
        return bool(state)
    entries = [entry for entry in state.values() if not isinstance(entry, Mapping) or entry]
    return any(not isinstance(entry, Mapping) or bool(entry.get("step", 1) != 0) for entry in entries)
