"""A trained rung becomes files to take away: read or trained again, shrunk, written, read back, and proved."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from prunescope.data import Dataset, generator, load, own_name, read_own_of
from prunescope.errors import Fault, InputError, clipped, nearest
from prunescope.export.checkpoint import Card, read, write
from prunescope.export.conversion import folded, shrunk, traced
from prunescope.export.module import build_module, own_module, plain_module
from prunescope.export.onnxfile import answers, need_onnx, write_onnx
from prunescope.export.outcome import Exported, ExportedForm
from prunescope.export.pick import PickedRung, pick
from prunescope.export.program import Arrays, Program
from prunescope.export.prove import agreement, algebra, check_error, exported, original, timed
from prunescope.export.recorded import export_recorded, recorded_note
from prunescope.export.retrain import RetrainPlan, planned, retrain
from prunescope.files import replacing
from prunescope.nets import Designed, Network, network
from prunescope.nets.cohort import Layout
from prunescope.nets.custom import SEED
from prunescope.nets.families import factory_of
from prunescope.prune import Masks
from prunescope.run.artifacts import read_masks, read_weights, weights_kept
from prunescope.run.events import EventHandler
from prunescope.run.ladder_runner import RunSettings, context_for
from prunescope.run.task_runner import device_named
from prunescope.run.tune import threads
from prunescope.study.catalogue import is_import_path
from prunescope.study.import_path import import_function
from prunescope.table import Store
from prunescope.table.notes import noted_place
from prunescope.table.status import RecordedNote
from prunescope.version import __version__

FORMS = ("sparse", "dense", "both", "onnx")
SMALL = 2_000_000  # multiplications of an example; networks below are computed by one thread


def export_network(
    store: str | os.PathLike[str] | Store,
    target: str | os.PathLike[str],
    *,
    ladder: str | None = None,
    rung: int | None = None,
    density: float | None = None,
    form: str | None = None,
    onnx: bool = False,
    factory: str | None = None,
    model: nn.Module | None = None,
    score: str | None = None,
    dataset: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    device: str = "auto",
    batch: int = 256,
    before: Callable[[RetrainPlan], None] | None = None,
    on_event: EventHandler | None = None,
) -> Exported:
    """Write a trained network as files that hold nothing else, and prove that they are that network.

    Parameters
    ----------
    target
        The file; with two forms their names are added: ``net.safetensors`` becomes ``net.sparse.safetensors`` and
        ``net.dense.safetensors``.
    ladder
        Its identity, or as many of its first digits as no other ladder has; None where the store has but one.
    rung, density
        Which of its networks: a number, or the density that it should be nearest to.
    form
        ``sparse``, ``dense``, ``onnx`` or ``both``; None: by the name of the file, ``both`` where that does not tell.
        Networks of one's own are written sparse.
    onnx
        Write an ONNX file besides.
    factory
        For a network of one's own the import path of the function that makes it, as the store names it. Needed for
        those: a store names its factory, but never decides what is imported.
    model
        For a rung that was recorded from a loop of one's own: a model of its shapes, or its trained model where the
        store kept no weights. `factory` may name a function that makes one.
    score
        The same for a score of one's own, where the network has to be trained again.
    dataset
        For a dataset of one's own: its file, its folder, or the import path of the function that returns it. Needed
        for functions, and for files that are no more where the run had them.
    data
        Folder with datasets; without it `PRUNESCOPE_DATA` and the cache are searched.
    device
        Where a network is trained again whose weights were not kept.
    batch
        Pictures in the batch that is timed.
    before
        Called with what has to be trained again, before it is.
    on_event
        Called with each event of training again (`run.events`).
    """
    if batch < 1:
        raise InputError("the export", [Fault("batch", "must be 1 or more", str(batch))])
    opened_store = store if isinstance(store, Store) else Store(store)
    note = recorded_note(opened_store, ladder)
    if note is not None:
        return export_recorded(opened_store, Path(target), note, rung, density, _model(model, factory, note))
    if model is not None:
        must = "must be left out: the store knows how this network computes"
        raise InputError("the export", [Fault("model", must, type(model).__name__)])
    picked = pick(opened_store, ladder, rung, density)
    cell = picked.cell
    _check_code(opened_store, picked, factory, score)
    targets = _targets(Path(target), form, onnx, is_custom=":" in cell.family)
    read = _dataset(opened_store, picked, dataset, None if data is None else Path(data))
    net = network(cell.family, cell.depth, cell.width, read.classes, read.shape)
    with ExitStack() as drafts:  # made first: a place that cannot be written to is refused before anything is trained
        paths = {name: drafts.enter_context(replacing(path)) for name, path in targets.items()}
        source = _source(opened_store, picked, net, read, device, before or _ignore, on_event or _ignore)
        with threads(1 if net.outline.multiplications < SMALL else torch.get_num_threads()):
            return _Export(picked, net, read, source, batch).result(paths, targets)


def _model(model: nn.Module | None, factory: str | None, note: RecordedNote) -> nn.Module | Callable[..., nn.Module]:
    """Return the model of a recorded network, or what makes it."""
    if (model is None) == (factory is None):
        must = f"must be given, one of both: {note.ladder.words} was recorded from a loop of its author's"
        hint = "From Python export_network(..., model=model), else --factory package.module:function."
        raise InputError("the export", [Fault("model or factory", must, "none" if model is None else "both", hint)])
    return model if model is not None else import_function(str(factory))


def _check_code(store: Store, picked: PickedRung, factory: str | None, score: str | None) -> None:
    """Refuse to import what a store names and the caller does not."""
    again = picked.rung not in weights_kept(store, picked.ladder)
    family, rank = picked.ladder.cell.family, picked.ladder.treatment.score or ""
    faults = []
    for name, is_given, path, needed, why in (
        ("factory", factory, family, True, "this network is made by"),
        ("score", score, rank, again, "training it again ranks weights by"),
    ):
        if not is_import_path(path):
            if is_given is not None:
                must = "must be left out: this network needs no function of yours for that"
                faults.append(Fault(name, must, clipped(is_given)))
        elif needed and is_given != path:
            must = f"must be named as the store does: {why} {path}, a function of its author's"
            hint = f"If you trust it: --{name} {path}, from Python {name}={path!r}."
            faults.append(Fault(name, must, "" if is_given is None else clipped(is_given), hint))
    if faults:
        raise InputError(str(store.path), faults)


def _dataset(store: Store, picked: PickedRung, name: str | os.PathLike[str] | None, folder: Path | None) -> Dataset:
    """Return the dataset of a rung; of a user's own the very one, by whatever name the caller has for it."""
    own_dataset = picked.ladder.own
    if own_dataset is None:
        if name is not None:
            must = "must be left out: this network's dataset is known by its name"
            raise InputError(str(store.path), [Fault("dataset", must, clipped(str(name)))])
        return load(picked.ladder.cell.dataset, folder)
    if name is None and is_import_path(own_dataset.name):
        must = f"must be named as the store does: it is returned by {own_dataset.name}, a function of its author's"
        hint = f"If you trust it: --dataset {own_dataset.name}, from Python dataset={own_dataset.name!r}."
        raise InputError(str(store.path), [Fault("dataset", must, hint=hint)])
    spelled = "" if name is None else own_name(os.fspath(name))
    return read_own_of(picked.ladder, None, folder, noted_place(store, own_dataset), spelled).dataset


def _ignore(_: object) -> None:
    """Listen to nothing."""


def _targets(target: Path, form: str | None, onnx: bool, is_custom: bool) -> dict[str, Path]:
    """Return the file of each form that is wanted."""
    faults = []
    if form is not None and form not in FORMS:
        faults.append(Fault("form", f"must be one of {', '.join(FORMS)}", clipped(form), nearest(form, FORMS)))
    wanted = "onnx" if target.suffix == ".onnx" and form is None else form or ("sparse" if is_custom else "both")
    suffix = ".onnx" if wanted == "onnx" else ".safetensors"
    if target.suffix != suffix:
        hint = f"For example {target.with_suffix(suffix).name}." if target.name else ""
        faults.append(Fault("the file", f"must end in {suffix}", clipped(target.name), hint))
    if is_custom and (wanted != "sparse" or onnx):
        hint = "torch.onnx.export writes ONNX of the module that load_network returns."
        must = "must be sparse for a network of your own: which of its units are cut off is not known"
        faults.append(Fault("form", must, "onnx" if onnx else wanted, hint))
    if faults:
        raise InputError("the export", faults)
    names = {"both": ("sparse", "dense")}.get(wanted, (wanted,))
    targets = dict.fromkeys(names, target)
    if len(names) > 1:
        targets = {name: target.with_name(f"{target.stem}.{name}{suffix}") for name in names}
    if onnx:
        targets["onnx"] = target.with_suffix(".onnx")
    if "onnx" in targets:
        need_onnx()
    return targets


@dataclass(frozen=True, eq=False)
class _Source:
    """The network that is exported: its tensors, pruned weights zero, and its masks."""

    tensors: dict[str, np.ndarray]
    masks: Masks
    retrained: bool


def _source(
    store: Store,
    picked: PickedRung,
    net: Network,
    dataset: Dataset,
    device: str,
    before: Callable[[RetrainPlan], None],
    on_event: EventHandler,
) -> _Source:
    """Read a rung's weights, or train it again; either way hold its test error against its row."""
    measured_in = context_for(picked.ladder, dataset, Layout(), RunSettings(picked.study)).with_network(net)
    if picked.rung in weights_kept(store, picked.ladder):
        tensors = read_weights(store, picked.ladder, picked.rung, net)
        masks, row = read_masks(store, picked.ladder, picked.rung, net), picked.row
    else:
        where = device_named(device)
        bench = context_for(picked.ladder, dataset, Layout(), RunSettings(picked.study, where))
        plan = planned(store, picked, bench)
        before(plan)
        again = retrain(plan, picked, bench, where, on_event)
        tensors, masks, row = again.tensors, again.masks, again.row
    check_error(measured_in, tensors, masks, row, picked.words)
    return _Source(tensors, masks, retrained=row is not picked.row)


class _Export:
    """One network on its way to its files."""

    def __init__(self, picked: PickedRung, net: Network, dataset: Dataset, source: _Source, batch: int) -> None:
        self._picked = picked
        self._network = net
        self._dataset = dataset
        self._source = source
        self._batch = min(batch, len(dataset.test_labels))
        tensors = {name: tensor for name, tensor in source.tensors.items() if name != SEED}
        self._tensors = {name: _single(tensor) for name, tensor in tensors.items()}
        self._wanted = original(net, source.tensors, dataset, torch.float32)

    def _card(self, form: str) -> Card:
        cell, dataset, ladder = self._picked.cell, self._dataset, self._picked.ladder
        masks = self._source.masks
        return Card(
            form=form,
            family=cell.family,
            depth=cell.depth,
            width=cell.width,
            classes=dataset.classes,
            shape=dataset.shape,
            dataset=cell.dataset,
            mean=dataset.mean,
            std=dataset.std,
            study=self._picked.study,
            ladder=ladder.identity,
            replicate=ladder.replicate,
            rung=self._picked.rung,
            density=masks.kept / masks.prunable,
            kept=masks.kept,
            prunable=masks.prunable,
            test_error=self._error(self._wanted),
            retrained=self._source.retrained,
            version=__version__,
        )

    def _error(self, logits: Tensor) -> float:
        wrong = logits.argmax(1).numpy() != self._dataset.test_labels
        return float(np.mean(wrong))

    def result(self, drafts: Mapping[str, Path], targets: Mapping[str, Path]) -> Exported:
        """Write every draft, read it back, hold it against the original, time it beside the unpruned network."""
        small, exactness, modules = None, 0.0, self._compared()
        steps = traced(self._network, self._tensors).steps if isinstance(self._network, Designed) else ()
        units = units_left = unread = 0
        if {"dense", "onnx"} & set(drafts):
            whole = folded(traced(self._network, self._source.tensors))
            small = shrunk(whole)
            exactness = algebra(self._network, self._source.tensors, small, self._dataset)
            units, units_left, unread = whole.units, small.units, small.unread
            small = small.cast(np.float32)
        written: list[ExportedForm] = []
        for name, path in drafts.items():
            card = self._card(name)
            if name == "sparse":
                write(path, card, steps, self._tensors, self._source.masks.by_name())
            elif small is not None and name == "dense":
                write(path, card, small.steps, small.tensors, {})
            elif small is not None:
                write_onnx(path, small, card)
            written.append(self._proved(name, path, targets[name], small, modules))
        pictures = torch.from_numpy(np.array(self._dataset.test_images[: self._batch]))
        timings = timed({name: module for name, (module, _, _) in modules.items()}, pictures)
        compared = [
            ExportedForm(name, None, size, count, timings[name])
            for name, (_, size, count) in modules.items()
            if name not in drafts
        ]
        forms = [replace(form, path=targets[form.name], timing=timings.get(form.name)) for form in written]
        return Exported(
            self._picked.words,
            self._card("sparse"),
            self._picked.row["test_error"],
            (*compared, *forms),
            units,
            units_left,
            unread,
            exactness,
            self._batch,
        )

    def _compared(self) -> dict[str, tuple[nn.Module, int, int]]:
        """Return unpruned networks of the same shape, with the bytes of their files and their multiply-adds."""
        from safetensors.numpy import save

        drawn = self._network.start(generator("export"))
        tensors = {name: _single(tensor) for name, tensor in drawn.items() if name != SEED}
        size, count = len(save(tensors)), self._network.outline.multiplications
        if not isinstance(self._network, Designed):
            module = self._own_module(tensors)
            return {"unpruned": (module, size, count)}
        program = traced(self._network, tensors)
        modules: dict[str, tuple[nn.Module, int, int]] = {"unpruned": (self._module(program), size, count)}
        if any(step.kind == "norm" for step in program.steps):
            plain = folded(program).cast(np.float32)
            modules["folded"] = self._module(plain), len(save(dict(plain.tensors))), count
        return modules

    def _module(self, program: Program) -> nn.Module:
        return plain_module(program, self._card("dense"), "the network").eval()

    def _own_module(self, tensors: Arrays) -> nn.Module:
        card = self._card("sparse")
        return own_module(card, factory_of(card.family), tensors, "the network").eval()

    def _proved(
        self, name: str, path: Path, target: Path, small: Program | None, modules: dict[str, tuple[nn.Module, int, int]]
    ) -> ExportedForm:
        """Read the draft of a file back and compare; the networks that can be timed are added to ``modules``."""
        size = path.stat().st_size
        count = self._network.outline.multiplications if name == "sparse" or small is None else small.multiplications
        if name == "onnx":
            saved_answers = answers(path, self._dataset)
        else:
            saved = read(path)
            module = build_module(saved, str(target), saved.card.family if ":" in saved.card.family else None)
            modules[name] = module, size, count
            with torch.no_grad():
                saved_answers = exported(module, self._dataset)
        agreed = agreement(self._wanted[: len(saved_answers)], saved_answers, f"the {name} file")
        return ExportedForm(name, path, size, count, None, len(saved_answers), agreed.difference, agreed.changed)


def _single(values: np.ndarray) -> np.ndarray:
    """Return floats in single precision, whole numbers as they are."""
    return values.astype(np.float32) if values.dtype.kind == "f" else values
