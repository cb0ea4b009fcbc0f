"""A study's networks are taken away: proved, trained again where they were not kept, refused where not right."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from prunescope import Store, export_network, load_network
from prunescope.data import load
from prunescope.errors import InputError, MissingPackageError, PrunescopeError
from prunescope.export import export as room
from prunescope.export import onnxfile
from prunescope.export.checkpoint import Card, write
from prunescope.export.conversion import shrunk
from prunescope.export.pick import PickedRung
from prunescope.export.program import Arrays, Program, Step
from prunescope.export.prove import agreement, original, timed
from prunescope.export.retrain import Retrained, RetrainPlan, retrain
from prunescope.nets import network
from prunescope.run import run_study
from prunescope.run.events import Event, EventHandler, RungFinished, RunStarted
from prunescope.study import Study
from prunescope.study.sections import Axes, Recipe, Treatment
from prunescope.table.schema import STORED_NAMES
from prunescope.train import TrainingContext
from tests.run.studies import dense_study, narrow_study, rows

ROOT = Path(__file__).parents[2]
KEPT, LOST = 2, 3


def conv_study() -> Study:
    axes = Axes(dataset=("digits",), family=("cifar-resnet",), depth=(8,), width=(0.125,), examples=(300,))
    recipe = Recipe(epochs=2, batch=32, learning_rate=0.05, momentum=0.9, levels=3, pruning_fraction=0.7)
    treatments = (Treatment(kind="imp", rewind="learning-rate"),)
    return Study("conv", (axes,), recipe, treatments, replicates=1, keep="all")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two ladders of a small LeNet, whose rung 2 is kept, the first rung from epoch 1."""
    path = tmp_path_factory.mktemp("kept") / "store"
    run_study(replace(dense_study(replicates=2, widths=(0.08,), levels=4), keep=(KEPT,)), path, workers=1)
    return Store(path)


@pytest.fixture(scope="module")
def convolved(tmp_path_factory: pytest.TempPathFactory) -> Store:
    path = tmp_path_factory.mktemp("convolved") / "store"
    run_study(conv_study(), path, workers=1)
    return Store(path)


def first(store: Store) -> str:
    return sorted(store.done())[0]


def row(store: Store, ladder: str, rung: int) -> dict[str, object]:
    (the_row,) = store.table(f"ladder = '{ladder}' and rung = {rung}").rows()
    return the_row


def error_of(path: Path) -> float:
    """Classify the digits with nothing but the file."""
    data, module = load("digits"), load_network(path)
    with torch.no_grad():
        predictions = module(torch.from_numpy(np.array(data.test_images))).argmax(1).numpy()
    return float(np.mean(predictions != data.test_labels))


def test_the_example_of_the_page_on_exports_runs_without_a_warning(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text(), re.DOTALL)
    ladder = first(store)
    export_network(store, tmp_path / "net.safetensors", ladder=ladder, rung=KEPT)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    torch.set_warn_always(True)  # torch tells of read-only arrays once in a process
    try:
        exec(compile(example, "export.md", "exec"), names)
    finally:
        torch.set_warn_always(False)
    assert names["error"] == row(store, ladder, KEPT)["test_error"]


def test_a_kept_network_is_written_in_both_forms_with_the_error_of_its_row(store: Store, tmp_path: Path) -> None:
    events: list[Event] = []
    before = rows(store)
    ladder = first(store)
    exported = export_network(store, tmp_path / "net.safetensors", ladder=ladder[:6], rung=KEPT, on_event=events.append)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.dense.safetensors", "net.sparse.safetensors"]
    assert exported.files == (tmp_path / "net.sparse.safetensors", tmp_path / "net.dense.safetensors")
    wanted = row(store, ladder, KEPT)
    for path in exported.files:
        assert error_of(path) == wanted["test_error"]
        assert load_network(path).card == replace(exported.card, form=path.name.split(".")[1])
    assert (exported.card.ladder, exported.card.rung, exported.card.kept) == (ladder, KEPT, wanted["kept"])
    assert not exported.card.retrained
    assert events == []
    assert rows(store) == before
    sparse, dense = exported.form("sparse"), exported.form("dense")
    assert (sparse.bytes, dense.bytes) == tuple(path.stat().st_size for path in exported.files)
    assert sparse.proved_on == dense.proved_on == 500
    assert (sparse.difference, sparse.changed, dense.changed) == (0.0, 0, 0)
    assert exported.exactness < 1e-9
    assert exported.units == 24 + 8
    assert exported.form("unpruned").multiply_adds == sparse.multiply_adds >= dense.multiply_adds
    text = "\n".join(exported.sentences())
    assert "test error" in text
    assert ", as in the store" in text
    assert "single weights that are missing save no time" in text


@pytest.mark.parametrize("rung", [0, 3])
def test_convolutions_are_proved_and_compared_with_folding_alone(convolved: Store, tmp_path: Path, rung: int) -> None:
    exported = export_network(convolved, tmp_path / "net.safetensors", rung=rung, batch=8)
    assert [form.name for form in exported.forms] == ["unpruned", "folded", "sparse", "dense"]
    for path in exported.files:
        assert error_of(path) == row(convolved, first(convolved), rung)["test_error"]
    assert exported.form("dense").multiply_adds <= exported.form("folded").multiply_adds
    assert (exported.units_left < exported.units) == (rung == 3)
    assert all(form.timing is not None and form.timing.median > 0 for form in exported.forms)


def test_a_network_that_was_not_kept_is_trained_again_from_its_mask(store: Store, tmp_path: Path) -> None:
    events: list[Event] = []
    plans: list[RetrainPlan] = []
    before, files = rows(store), sorted(store.path.rglob("*.safetensors"))
    exported = export_network(
        store,
        tmp_path / "net.safetensors",
        ladder=first(store),
        rung=LOST,
        form="sparse",
        before=plans.append,
        on_event=events.append,
    )
    assert [(plan.first, plan.rung) for plan in plans] == [(LOST, LOST)]
    assert plans[0].seconds > 0
    assert isinstance(events[0], RunStarted)
    assert [event.rung for event in events if isinstance(event, RungFinished)] == [LOST]
    assert exported.card.retrained
    assert (
        error_of(tmp_path / "net.safetensors") == row(store, first(store), LOST)["test_error"] == exported.stored_error
    )
    assert "trained again for this, with the error of the store" in "\n".join(exported.sentences())
    assert rows(store) == before
    assert sorted(store.path.rglob("*.safetensors")) == files


def test_without_its_checkpoints_the_whole_ladder_is_trained_again(store: Store, tmp_path: Path) -> None:
    bare = Store(tmp_path / "bare", create=True)
    for study in store.studies():
        bare.begin(study)
    bare.write([{name: values[name] for name in STORED_NAMES} for values in store.table().rows()])
    plans: list[RetrainPlan] = []
    target = tmp_path / "net.safetensors"
    export_network(bare, target, ladder=first(store), rung=LOST, form="dense", before=plans.append)
    assert [(plan.first, plan.rung) for plan in plans] == [(0, LOST)]
    assert error_of(target) == row(store, first(store), LOST)["test_error"]


@pytest.mark.parametrize(
    ("kind", "rewind"), [("imp", "learning-rate"), ("one-shot", "weights"), ("extended", None), ("imp", "reinitialise")]
)
def test_every_treatment_can_be_trained_again(tmp_path: Path, kind: str, rewind: str | None) -> None:
    study = replace(
        dense_study(replicates=1, widths=(0.04,)),
        treatments=(Treatment.model_validate({"kind": kind, "rewind": rewind}),),
    )
    run_study(study, tmp_path / "store", workers=1)
    exported = export_network(tmp_path / "store", tmp_path / "net.safetensors", rung=2, form="sparse")
    assert error_of(tmp_path / "net.safetensors") == exported.stored_error


@pytest.mark.parametrize("keep", ["all", "none"])
def test_narrower_networks_are_taken_away_at_their_own_width(tmp_path: Path, keep: Literal["all", "none"]) -> None:
    run_study(replace(narrow_study(), replicates=1, keep=keep), tmp_path / "store", workers=1)
    store = Store(tmp_path / "store")
    for number in (1, 3):
        exported = export_network(store, tmp_path / f"{number}.safetensors", ladder=first(store), rung=number)
        wanted = row(store, first(store), number)
        assert exported.card.width == pytest.approx(wanted["width"])
        assert exported.card.retrained == (keep == "none")
        assert [error_of(path) for path in exported.files] == [wanted["test_error"]] * 2


def test_numbers_that_differ_after_training_again_are_told(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on another machine: the exported network has its own error, and both are said."""

    def otherwise(
        plan: RetrainPlan, picked: PickedRung, bench: TrainingContext, device: str, on_event: EventHandler
    ) -> Retrained:
        retrained = retrain(plan, picked, bench, device, on_event)
        retrained.tensors["output.bias"] = retrained.tensors["output.bias"][::-1].copy()
        net = network("lenet", 3, 0.08, 10, (1, 8, 8))
        logits = original(net, retrained.tensors, bench.dataset, torch.float32).argmax(1).numpy()
        error = float(np.mean(logits != bench.dataset.test_labels))
        return Retrained({**retrained.row, "test_error": error}, retrained.tensors, retrained.masks)

    monkeypatch.setattr(room, "retrain", otherwise)
    exported = export_network(store, tmp_path / "net.safetensors", ladder=first(store), rung=LOST, form="dense")
    assert exported.card.test_error == error_of(tmp_path / "net.safetensors") != exported.stored_error
    sentence = (
        f"test error {exported.card.test_error:.4g}: trained again for this; the store says {exported.stored_error:.4g}"
    )
    assert sentence in "\n".join(exported.sentences())


def test_weights_that_are_not_those_of_the_row_are_refused(store: Store, tmp_path: Path) -> None:
    copy = Store(tmp_path / "copy", create=True)
    for study in store.studies():
        copy.begin(study)
    ladder = first(store)
    mine = [values for values in store.table().rows() if values["ladder"] == ladder]
    copy.write(
        [
            {name: values[name] for name in STORED_NAMES} | {"test_error": 0.5 * float(values["test_error"])}
            for values in mine
        ]
    )
    for rung in range(5):
        if store.has_arrays("checkpoints", ladder, rung):
            copy.write_arrays("checkpoints", ladder, rung, store.read_arrays("checkpoints", ladder, rung))
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(PrunescopeError, match="the weights or the dataset are not those of the row; nothing was"):
        export_network(copy, out / "net.safetensors", rung=KEPT)
    assert list(out.iterdir()) == []


def refused_without_a_trace(store: Store, folder: Path) -> str:
    """Export a network that must be refused; return why. What stood at its place must still stand there."""
    (folder / "net.dense.safetensors").write_text("what stood there before")
    with pytest.raises(PrunescopeError, match="nothing was written") as caught:
        export_network(store, folder / "net.safetensors", ladder=first(store), rung=KEPT)
    assert [path.read_text() for path in folder.iterdir()] == ["what stood there before"]
    return str(caught.value)


def test_a_shrunk_network_that_is_another_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bent(program: Program) -> Program:
        smaller = shrunk(program)
        return Program(
            smaller.shape, smaller.steps, {**smaller.tensors, "output.bias": smaller.tensors["output.bias"] + 1e-6}
        )

    monkeypatch.setattr(room, "shrunk", bent)
    assert "logits differ by 1e-06 in double precision" in refused_without_a_trace(store, tmp_path)


def test_a_file_that_answers_otherwise_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bent(path: Path, card: Card, steps: tuple[Step, ...], tensors: Arrays, masks: Mapping[str, np.ndarray]) -> None:
        write(path, card, steps, {**tensors, "output.bias": -tensors["output.bias"]}, masks)

    monkeypatch.setattr(room, "write", bent)
    assert "the sparse file is not the network that was trained" in refused_without_a_trace(store, tmp_path)


def test_ties_to_rounding_alone_may_change_a_prediction() -> None:
    wanted = torch.tensor([[1.0, 1.0 + 1e-7, 0.0], [3.0, 1.0, 2.0]])
    other = torch.tensor([[1.0 + 1e-7, 1.0, 0.0], [3.0, 1.0, 2.0]])
    compared = agreement(wanted, other, "it")
    assert compared.changed == 1
    assert agreement(wanted, wanted, "it").changed == 0
    with pytest.raises(PrunescopeError, match="1 of 2 predictions by more than rounding"):
        agreement(wanted, torch.tensor([[1.0, 1.0 + 1e-7, 0.0], [1.0, 3.0, 2.0]]), "it")
    with pytest.raises(PrunescopeError, match=r"logits differ by 0.01"):
        agreement(wanted, wanted + 0.01, "it")
    with pytest.raises(PrunescopeError, match="logits differ by nan"):
        agreement(wanted, wanted * float("nan"), "it")


def test_what_is_meant_is_found_or_told(store: Store, tmp_path: Path) -> None:
    def fault(**wanted: object) -> str:
        with pytest.raises(InputError) as caught:
            export_network(store, tmp_path / "net.safetensors", **wanted)  # type: ignore[arg-type]
        return str(caught.value)

    one, other = sorted(store.done())
    several = fault(rung=1)
    assert "the ladder: must be one; found 2 and none named" in several
    assert f"{one} (lenet l=3 w=0.08 on 400 of digits, imp, replicate" in several
    assert other in several
    wrong = one[:-1] + ("0" if one[-1] != "0" else "1")
    assert f"Did you mean {one!r}?" in fault(ladder=wrong, rung=1)
    assert "must be a finished one; found 9. Finished: 0, 1, 2, 3, 4, of densities 1 to 0.41" in fault(
        ladder=one, rung=9
    )
    assert "found neither" in fault(ladder=one)
    assert "found both" in fault(ladder=one, rung=1, density=0.5)
    assert "must be in (0, 1]; found 0" in fault(ladder=one, density=0.0)
    exported = export_network(store, tmp_path / "net.safetensors", ladder=one, density=0.6, form="sparse")
    assert exported.card.rung == 2, "0.64 is nearer to 0.6 than 0.51"


def test_forms_and_names_are_checked_before_anything_is_done(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        export_network(store, tmp_path / "net.pt", ladder=first(store), rung=KEPT, form="spars")
    assert "Did you mean 'sparse'?" in str(caught.value)
    assert "must end in .safetensors; found 'net.pt'. For example net.safetensors." in str(caught.value)
    with pytest.raises(InputError, match="batch: must be 1 or more"):
        export_network(store, tmp_path / "net.safetensors", rung=KEPT, batch=0)


def test_networks_of_ones_own_go_as_sparse_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ours_alone.py").write_text(
        "from torch import nn\n\n\ndef make(depth, width, classes):\n"
        "    layers = [nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, classes)]\n"
        "    return nn.Sequential(*layers)\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    study = dense_study(replicates=1, widths=(1.0,), levels=1)
    axes = study.axes[0].model_copy(update={"family": ("ours_alone:make",)})
    run_study(replace(study, axes=(axes,), keep=(1,)), tmp_path / "store", workers=1)
    target = tmp_path / "own.safetensors"
    named = {"factory": "ours_alone:make"}
    with pytest.raises(InputError, match="must be sparse for a network of your own"):
        export_network(tmp_path / "store", target, rung=1, form="dense", **named)  # type: ignore[arg-type]
    again, stored = (
        export_network(tmp_path / "store", target, rung=rung, **named)  # type: ignore[arg-type]
        for rung in (0, 1)
    )
    assert (again.card.retrained, stored.card.retrained) == (True, False)
    assert [form.name for form in stored.forms] == ["unpruned", "sparse"]
    module = load_network(target, factory="ours_alone:make")
    data = load("digits")
    with torch.no_grad():
        predicted = module(torch.from_numpy(np.array(data.test_images))).argmax(1).numpy()
    assert float(np.mean(predicted != data.test_labels)) == stored.stored_error


@pytest.mark.parametrize("make", ["own", "with_dropout", "attention", "tied"])
def test_a_network_of_ones_own_goes_on_training_from_its_file(tmp_path: Path, make: str) -> None:
    """With normalisation, whose count of batches is a single number; dropout; attention; tied weights."""
    family, target = f"tests.nets.modules:{make}", tmp_path / "own.safetensors"
    study = dense_study(replicates=1, widths=(1.0,), levels=1)
    axes = study.axes[0].model_copy(update={"family": (family,)})
    run_study(replace(study, axes=(axes,), keep="all"), tmp_path / "store", workers=1)
    export_network(tmp_path / "store", target, rung=1, factory=family)
    module, data = load_network(target, factory=family), load("digits")
    images, labels = torch.from_numpy(np.array(data.test_images)), torch.from_numpy(np.array(data.test_labels))
    with torch.no_grad():
        assert float((module(images).argmax(1) != labels).double().mean()) == module.card.test_error
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer, losses = torch.optim.Adam(trained, lr=0.02), []
    module.train()
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(module(images), labels)
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert losses[-1] < 0.95 * losses[0]


def test_a_module_that_is_not_the_one_exported_is_told_by_the_name_of_the_file(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def refused(saved: object, source: str, factory: object) -> None:
        seen.append(source)
        raise InputError(source, [])

    monkeypatch.setattr(room, "build_module", refused)
    with pytest.raises(InputError):
        export_network(store, tmp_path / "net.safetensors", ladder=first(store), rung=KEPT, form="dense")
    assert seen == [str(tmp_path / "net.safetensors")]


def test_no_code_that_a_store_names_is_imported_unless_the_caller_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network's own function always, a score's where the network is trained again."""
    (tmp_path / "trap_alone.py").write_text(
        "from torch import nn\n\n\ndef make(depth, width, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))\n\n\n"
        "def rank(weights):\n    return {name: abs(values) for name, values in weights.items()}\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    study = dense_study(replicates=1, widths=(1.0,), levels=1)
    axes = study.axes[0].model_copy(update={"family": ("trap_alone:make",)})
    treatment = Treatment(kind="imp", score="trap_alone:rank")
    run_study(replace(study, axes=(axes,), keep=(1,), treatments=(treatment,)), tmp_path / "store", workers=1)
    target = tmp_path / "own.safetensors"
    del sys.modules["trap_alone"]
    network.cache_clear()
    for wanted, places in (
        ({"rung": 1}, ["factory"]),
        ({"rung": 1, "factory": "trap_alone:other"}, ["factory"]),
        ({"rung": 0}, ["factory", "score"]),
        ({"rung": 0, "factory": "trap_alone:make"}, ["score"]),
    ):
        with pytest.raises(InputError) as raised:
            export_network(tmp_path / "store", target, **wanted)
        assert [fault.place for fault in raised.value.faults] == places
        assert all(f"--{fault.place} trap_alone:" in fault.hint for fault in raised.value.faults)
    assert "trap_alone" not in sys.modules
    assert export_network(tmp_path / "store", target, rung=1, factory="trap_alone:make").files == (target,)
    again = export_network(tmp_path / "store", target, rung=0, factory="trap_alone:make", score="trap_alone:rank")
    assert again.card.retrained


def test_a_function_that_a_network_does_not_need_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        export_network(store, tmp_path / "n.safetensors", ladder=first(store), rung=KEPT, factory="mine:make")
    assert [fault.place for fault in raised.value.faults] == ["factory"]


def test_without_onnx_it_says_what_to_install(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxfile, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="pip install onnx"):
        export_network(store, tmp_path / "net.onnx", ladder=first(store), rung=KEPT)
    assert list(tmp_path.iterdir()) == []


def test_networks_are_timed_in_turns() -> None:
    order: list[str] = []

    class Noted(torch.nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self._name = name

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            order.append(self._name)
            return x

    timings = timed({"a": Noted("a"), "b": Noted("b")}, torch.zeros(1))
    assert order[6:] == ["a", "b"] * (len(order[6:]) // 2)
    assert timings["a"].share == timings["a"].share_least == timings["a"].share_most == 1.0
    assert timings["b"].least <= timings["b"].median <= timings["b"].most
    assert timings["b"].runs == len(order[6:]) // 2
