"""Networks by their names in timm and torchvision: held against stand-ins for both, which are not installed here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import invalidate_caches
from pathlib import Path

import pytest
from torch import nn

from prunescope import Store, export_network, load_network
from prunescope.errors import Fault, InputError, MissingPackageError
from prunescope.nets import network
from prunescope.nets.custom import Custom
from prunescope.run import run_study
from prunescope.run.estimate import estimate
from prunescope.study import Study, parse_study
from prunescope.study.import_path import import_paths

TIMM = """
from torch import nn

def create_model(name, pretrained, num_classes, in_chans):
    assert not pretrained
    if name != "tiny_net.a1_in1k":
        raise RuntimeError(f"Unknown model ({name})")
    return nn.Sequential(
        nn.Conv2d(in_chans, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(16, num_classes),
    )
"""
TORCHVISION = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, (3, 1), stride=2, padding=(1, 0), bias=False), nn.ReLU())
        self.more = nn.Conv2d(4, 2, 1)
        self.fc = nn.Linear(2, num_classes)

    def forward(self, x):
        return self.fc(self.more(self.stem(x)).mean((2, 3)))

def get_model(name, weights, num_classes):
    assert weights is None and name == "net18"
    return Net(num_classes)
"""
STUDY = """\
name = "named"
replicates = 1
keep = "all"
[axes]
dataset = "digits"
family = ["timm:tiny_net.a1_in1k", "torchvision:net18"]
examples = 100
[recipe]
epochs = 1
batch = 20
learning_rate = 0.1
levels = 1
[[treatments]]
kind = "imp"
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install stand-ins of both libraries for a while."""
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "__init__.py").write_text(TIMM)
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("")
    (tmp_path / "torchvision" / "models.py").write_text(TORCHVISION)
    monkeypatch.syspath_prepend(str(tmp_path))
    invalidate_caches()
    network.cache_clear()
    yield
    network.cache_clear()
    for name in ("timm", "torchvision", "torchvision.models"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("installed")
def test_classes_and_channels_are_those_of_the_dataset() -> None:
    for family, weights in (("timm:tiny_net.a1_in1k", 4 * 9 + 160), ("torchvision:net18", 4 * 3 + 8 + 20)):
        net = network(family, 1, 1.0, 10, (1, 8, 8))
        assert sum(layer.size for layer in net.outline.prunable("all")) == weights
        assert network(family, 1, 1.0, 7, (3, 8, 8)).outline.parameters[-1].shape == (7,)
    made = network("torchvision:net18", 1, 1.0, 10, (1, 8, 8))
    assert isinstance(made, Custom)
    stem = made.module().get_submodule("stem.0")
    assert isinstance(stem, nn.Conv2d)
    assert (stem.kernel_size, stem.stride, stem.padding, stem.bias) == ((3, 1), (2, 2), (1, 0), None)
    with pytest.raises(InputError, match=r"timm:nothing: must make a network .* found RuntimeError: Unknown model"):
        network("timm:nothing", 1, 1.0, 10, (1, 8, 8))


@pytest.mark.usefixtures("installed")
def test_a_study_of_named_networks_is_counted_trained_and_exported(tmp_path: Path) -> None:
    study = parse_study(STUDY)
    assert {(cell.depth, cell.width) for cell in study.cells} == {(1, 1.0)}
    assert parse_study(study.to_toml()) == study
    assert import_paths(study) == ()  # no code that a study brings
    assert estimate(study.ladders, None).disk
    assert not run_study(study, tmp_path / "store", workers=1).failures
    for ladder in study.ladders:
        target = tmp_path / "net.safetensors"
        export_network(Store(tmp_path / "store"), target, ladder=ladder.identity, rung=1)
        assert load_network(target).card.family == ladder.cell.family


def test_without_the_library_it_says_what_to_install() -> None:
    study = parse_study(STUDY.replace('"timm:tiny_net.a1_in1k", ', ""))
    with pytest.raises(MissingPackageError, match="networks of torchvision:net18 need torchvision: pip install"):
        network("torchvision:net18", 1, 1.0, 10, (1, 8, 8))
    assert estimate(study.ladders, None).seconds is None


def test_depth_and_width_are_refused_where_a_name_says_them() -> None:
    def faults(text: str) -> list[Fault]:
        with pytest.raises(InputError) as refused:
            parse_study(text)
        return list(refused.value.faults)

    sized = faults(STUDY.replace("examples", "depth = [1, 18]\nwidth = 0.5\nexamples"))
    assert [fault.place for fault in sized] == [*["axes 1: depth (line 7)"] * 2, *["axes 1: width (line 8)"] * 2]
    assert {fault.found for fault in sized} == {"18", "0.5"}
    (narrow,) = faults(STUDY + '[[treatments]]\nkind = "narrow"\n')
    assert narrow.place == "treatments 2: kind (line 16)"
    missing = faults(STUDY.replace('["timm', '["lenet", "timm'))
    assert {fault.place for fault in missing} == {"axes 1: depth", "axes 1: width"}
    assert isinstance(parse_study(STUDY.replace("examples", "depth = 1\nexamples")), Study)
