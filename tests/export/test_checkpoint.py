"""Files of networks: exact, refused when anything in them changed, and never the ones to decide what runs."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save
from torch import nn

from prunescope import load_network
from prunescope.errors import DamageError, InputError, PrunescopeError
from prunescope.export.checkpoint import Card, SavedNetwork, _digest, read, write
from prunescope.export.conversion import folded, shrunk, traced
from prunescope.export.module import build_module
from prunescope.export.program import Arrays, Step
from prunescope.nets import network
from tests.export.members import MEMBERS, SHAPE, masked, member, original

CARD = Card(
    form="sparse",
    family="lenet",
    depth=2,
    width=0.05,
    classes=5,
    shape=SHAPE,
    dataset="digits",
    mean=(100.0, 30.0),
    std=(50.0, 20.0),
    study="tests",
    ladder="0" * 32,
    replicate=0,
    rung=3,
    density=0.25,
    kept=1,
    prunable=4,
    test_error=0.125,
    retrained=False,
    version="0",
)


def single(tensors: Arrays) -> dict[str, np.ndarray]:
    return {name: array.astype(np.float32) for name, array in tensors.items()}


def sparse_file(path: Path, family: str, depth: int, width: float) -> dict[str, np.ndarray]:
    """Write a member as a sparse file; return its tensors."""
    net = member(family, depth, width)
    tensors = single(masked(net, 0.3, 1))
    masks = {parameter.name: tensors[parameter.name] != 0 for parameter in net.outline.prunable("all")}
    card = replace(CARD, family=family, depth=depth, width=width)
    write(path, card, traced(net, tensors).steps, tensors, masks)
    return tensors


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    sparse_file(path, "lenet", 2, 0.05)
    return path


@pytest.mark.parametrize(("family", "depth", "width"), MEMBERS)
def test_a_sparse_file_gives_back_every_bit(tmp_path: Path, family: str, depth: int, width: float) -> None:
    path = tmp_path / "net.safetensors"
    tensors = sparse_file(path, family, depth, width)
    saved = read(path)
    assert saved.card == replace(CARD, family=family, depth=depth, width=width)
    assert set(saved.tensors) == set(tensors)
    for name, values in tensors.items():
        assert saved.tensors[name].dtype == np.float32
        assert np.array_equal(saved.tensors[name], values)
    state = load_network(path).state_dict()
    assert all(np.array_equal(state[name].numpy(), values) for name, values in tensors.items())


def test_a_sparse_file_holds_a_bit_for_each_weight_and_the_survivors(sparse: Path) -> None:
    stored = load(sparse.read_bytes())
    whole = read(sparse).tensors["hidden1.weight"]
    assert stored["mask/hidden1.weight"].shape == ((whole.size + 7) // 8,)
    assert np.array_equal(stored["kept/hidden1.weight"], whole[whole != 0])
    assert "hidden1.weight" not in stored


@pytest.mark.parametrize(("family", "depth", "width"), MEMBERS)
def test_a_loaded_network_takes_bytes_and_scales_them_itself(
    tmp_path: Path, family: str, depth: int, width: float
) -> None:
    net = member(family, depth, width)
    tensors = masked(net, 0.4, 2)
    small = shrunk(folded(traced(net, tensors))).cast(np.float32)
    card = replace(CARD, form="dense", family=family, depth=depth, width=width)
    write(tmp_path / "net.safetensors", card, small.steps, small.tensors, {})
    module = load_network(tmp_path / "net.safetensors")
    assert not module.training
    assert module.card == card
    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (7, *SHAPE), np.uint8))
    mean, std = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (CARD.mean, CARD.std))
    wanted = original(net, tensors, (pictures.double() - mean) / std)
    with torch.no_grad():
        logits = module(pictures)
        assert torch.equal(logits, module(pictures.float()))
    scale = max(1.0, float(wanted.abs().max()))
    assert float((logits.double() - wanted).abs().max()) < 2e-5 * scale
    with pytest.raises(ValueError, match=r"must be \[B, 2, 8, 8\] with values from 0 to 255, not \[7, 64\]"):
        module(torch.zeros(7, 64))


def test_every_flipped_byte_is_noticed(sparse: Path) -> None:
    whole = sparse.read_bytes()
    places = np.random.default_rng(0).choice(len(whole), 150, replace=False)
    for place in [*map(int, places), len(whole) - 1]:
        sparse.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(PrunescopeError):
            load_network(sparse)
    for length in (0, 7, 100, len(whole) - 1):
        sparse.write_bytes(whole[:length])
        with pytest.raises(DamageError, match="no safetensors file, or only a part of one"):
            load_network(sparse)
    sparse.write_bytes(whole)
    load_network(sparse)


def forged(path: Path, change: dict[str, Any] | None = None, steps: list[dict[str, Any]] | None = None) -> None:
    """Change what a file says of itself and give it a hash that fits, as one who means harm would."""
    stored = load(path.read_bytes())
    header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
    content = json.loads(header["__metadata__"]["content"])
    content["card"] |= change or {}
    content["steps"] = content["steps"] if steps is None else steps
    text = json.dumps(content)
    metadata = {"prunescope network": "1", "content": text, "sha256": _digest(text, stored)}
    path.write_bytes(save(stored, metadata))


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        ({"classes": 6}, None),
        ({"classes": "many"}, None),
        ({"shape": [2, 8]}, None),
        ({"mean": [1.0]}, None),
        ({}, []),
        ({}, [{"kind": "flatten", "inputs": [7]}]),
        ({}, [{"kind": "__import__", "inputs": [0]}]),
        ({}, [{"kind": "flatten"}]),
        ({}, [{"kind": "linear", "inputs": [0], "name": "output"}]),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(
    sparse: Path, change: dict[str, Any], steps: list[dict[str, Any]] | None
) -> None:
    forged(sparse, change, steps)
    with pytest.raises(DamageError):
        load_network(sparse)


@pytest.mark.parametrize(
    ("name", "dtype"), [("forward", np.float32), ("input", np.float32), ("", np.float32), ("a", np.int32), ("a", bool)]
)
def test_a_program_that_makes_no_module_is_refused(tmp_path: Path, name: str, dtype: type) -> None:
    tensors: Arrays = {f"{name}.weight": np.ones((5, 128), dtype), f"{name}.bias": np.ones(5, dtype)}
    write(tmp_path / "net.safetensors", CARD, (Step("flatten", (0,)), Step("linear", (1,), name)), tensors, {})
    with pytest.raises(DamageError, match="its tensors make no network"):
        load_network(tmp_path / "net.safetensors")
    huge = (Step("constant", (0,), "c", size=(10**6, 10**6)), Step("mean_pool", (1,)))
    write(tmp_path / "net.safetensors", CARD, huge, {"c.value": np.ones(5, np.float32)}, {})
    with pytest.raises(DamageError, match="cannot be computed"):
        load_network(tmp_path / "net.safetensors")


def test_a_layer_that_lost_nothing_is_stored_without_a_mask(tmp_path: Path) -> None:
    tensors = {"a.weight": np.ones((5, 128), np.float32), "a.bias": np.ones(5, np.float32)}
    steps = (Step("flatten", (0,)), Step("linear", (1,), "a"))
    write(tmp_path / "net.safetensors", CARD, steps, tensors, {"a.weight": np.ones((5, 128), bool)})
    assert set(load((tmp_path / "net.safetensors").read_bytes())) == {"a.weight", "a.bias"}
    load_network(tmp_path / "net.safetensors")


def test_other_files_are_refused_in_words(tmp_path: Path) -> None:
    plain = tmp_path / "plain.safetensors"
    plain.write_bytes(save({"a": np.zeros(3, np.float32)}))
    with pytest.raises(DamageError, match="holds tensors, but no network that prunescope exported"):
        load_network(plain)
    plain.write_bytes(save({"a": np.zeros(3, np.float32)}, {"prunescope network": "2"}))
    with pytest.raises(PrunescopeError, match="format '2'; this version reads format 1"):
        load_network(plain)
    with pytest.raises(InputError, match="must be a file that prunescope export wrote; found nothing"):
        load_network(tmp_path / "nowhere.safetensors")
    with pytest.raises(InputError, match="found a folder"):
        load_network(tmp_path)


def make(depth: int, width: float, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(128, depth), nn.ReLU(), nn.Linear(depth, classes))


def test_a_file_never_decides_what_is_imported(sparse: Path, tmp_path: Path) -> None:
    """A stranger's file that names a module of its own: only the reader can have it imported."""
    trap = tmp_path / "trap.py"
    trap.write_text("from pathlib import Path\nPath(__file__).with_name('sprung').touch()\ndef make(**_): ...\n")
    forged(sparse, {"family": "trap:make"})
    program = f"import prunescope; prunescope.load_network({str(sparse)!r})"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "factory: must be named: this network is made by trap:make" in done.stderr
    assert not (tmp_path / "sprung").exists()


def test_a_network_of_ones_own_is_made_by_the_factory_that_its_reader_names(tmp_path: Path) -> None:
    card = replace(CARD, family="mine:make", depth=3)
    module = make(3, 1.0, 5)
    tensors = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    loaded = build_module(SavedNetwork(card, (), tensors), "net", make)
    x = torch.full((2, *SHAPE), 120.0)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (CARD.mean, CARD.std))
    torch.testing.assert_close(loaded(x), module((x - mean) / std))
    with pytest.raises(InputError, match="tensors of the same names and shapes; found others at 1"):
        build_module(SavedNetwork(replace(card, depth=4), (), tensors), "net", make)


def test_programs_of_own_modules_are_not_known() -> None:
    network_of_tests = network("tests.export.test_checkpoint:make", 3, 1.0, 5, SHAPE)
    with pytest.raises(InputError, match="must be of prunescope's own families"):
        traced(network_of_tests, {})


def test_a_step_is_written_without_what_is_as_usual(sparse: Path) -> None:
    assert read(sparse).steps[1] == Step("linear", (1,), "hidden1")
    assert b'"stride' not in sparse.read_bytes()
