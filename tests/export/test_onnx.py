"""ONNX files, where onnx is installed: the same answers from another implementation of every step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from prunescope.export.conversion import folded, shrunk, traced
from prunescope.export.onnxfile import write_onnx
from tests.export.members import MEMBERS, SHAPE, computed, masked, member
from tests.export.test_checkpoint import CARD

onnx = pytest.importorskip("onnx")


@pytest.mark.parametrize(("family", "depth", "width"), MEMBERS)
@pytest.mark.parametrize(
    ("density", "empty"), [(0.9, ""), (0.1, ""), (0.9, "segment0.block1.conv2.weight"), (0.9, "output.weight")]
)
def test_an_onnx_file_gives_the_logits(
    tmp_path: Path, family: str, depth: int, width: float, density: float, empty: str
) -> None:
    from onnx.reference import ReferenceEvaluator

    net = member(family, depth, width)
    small = shrunk(folded(traced(net, masked(net, density, 3, (empty,)))))
    card = replace(CARD, mean=(0.0, 0.0), std=(1.0, 1.0))
    write_onnx(tmp_path / "net.onnx", small.cast(np.float32), card)
    x = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    (logits,) = ReferenceEvaluator(str(tmp_path / "net.onnx")).run(None, {"pictures": x.numpy()})
    wanted = computed(small, x.double()).numpy()
    np.testing.assert_allclose(np.asarray(logits), wanted, atol=2e-5 * max(1, np.abs(wanted).max()))
