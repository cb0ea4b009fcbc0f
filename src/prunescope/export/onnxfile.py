"""A program as an ONNX file, written step by step; needs the package onnx and nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prunescope.data import Dataset
from prunescope.errors import MissingPackageError
from prunescope.export.checkpoint import Card
from prunescope.export.module import scaling
from prunescope.export.program import Program, Shape, Step
from prunescope.export.prove import EXAMPLES
from prunescope.nets.grouped_convolutions import EPSILON

OPSET, IR = 17, 8  # old enough for every runtime in use
FEW = 200  # test examples that onnx's own slow evaluation is asked for


def need_onnx() -> None:
    """Say what to install where onnx is missing."""
    if find_spec("onnx") is None:
        raise MissingPackageError("an ONNX file needs onnx: pip install onnx (and onnxruntime, to prove it faster)")


def write_onnx(path: Path, program: Program, card: Card) -> None:
    """Write a program: input ``pictures`` [B, channels, height, width] as floats from 0 to 255, output ``logits``."""
    import onnx
    from onnx import TensorProto, helper

    graph = _Graph(program, card)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "prunescope",
            [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["batch", *program.shape])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", card.classes])],
            graph.tensors,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="prunescope",
        producer_version=card.version,
    )
    helper.set_model_props(model, {"prunescope": json.dumps(asdict(card))})
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


class _Graph:
    """Nodes and tensors of a program; value k is called ``v<k>``, the last one ``logits``."""

    def __init__(self, program: Program, card: Card) -> None:
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        self._last = len(program.steps)
        scale, shift = (vector.view(-1, 1, 1).numpy() for vector in scaling(card.mean, card.std))
        self._node("Mul", ["pictures", self._tensor("input.scale", scale)], "scaled")
        self._node("Add", ["scaled", self._tensor("input.shift", shift)], "v0")
        for place, step in enumerate(program.steps, 1):
            names = {
                name.rpartition(".")[2]: self._tensor(name, values)
                for name, values in program.tensors.items()
                if step.name and name.rpartition(".")[0] == step.name
            }
            self._step(place, step, names, program.shapes)

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))

    def _tensor(self, name: str, values: np.ndarray) -> str:
        from onnx import numpy_helper

        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _step(self, place: int, step: Step, names: dict[str, str], shapes: tuple[Shape, ...]) -> None:
        result = "logits" if place == self._last else f"v{place}"
        inputs = [f"v{index}" for index in step.inputs]
        spread = (1, -1, *[1] * (len(shapes[place]) - 1))
        match step.kind:
            case "conv":
                kernel = next(tensor.dims[-1] for tensor in self.tensors if tensor.name == names["weight"])
                sizes = {"kernel_shape": [kernel] * 2, "strides": [step.stride] * 2, "pads": [kernel // 2] * 4}
                self._node("Conv", [*inputs, names["weight"], names["bias"]], result, **sizes)
            case "linear":
                self._node("Gemm", [*inputs, names["weight"], names["bias"]], result, transB=1)
            case "relu":
                self._node("Relu", inputs, result)
            case "add":
                self._node("Add", inputs, result)
            case "norm":
                parts = [names[name] for name in ("weight", "bias", "running_mean", "running_var")]
                self._node("BatchNormalization", [*inputs, *parts], result, epsilon=EPSILON)
            case "concat":
                self._node("Concat", inputs, result, axis=1)
            case "max_pool":
                self._node("MaxPool", inputs, result, kernel_shape=[2, 2], strides=[2, 2])
            case "max_pool_3":
                self._node("MaxPool", inputs, result, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
            case "halve":
                self._node("AveragePool", inputs, result, kernel_shape=[2, 2], strides=[2, 2])
            case "mean_pool":
                self._node("GlobalAveragePool", inputs, f"{result}.pooled")
                self._node("Flatten", [f"{result}.pooled"], result, axis=1)
            case "flatten":
                self._node("Flatten", inputs, result, axis=1)
            case "take":
                self._node("Gather", [*inputs, names["places"]], result, axis=1)
            case "shift":
                form = self._tensor(f"{result}.form", np.array(spread))
                self._node("Reshape", [names["bias"], form], f"{result}.bias")
                self._node("Add", [*inputs, f"{result}.bias"], result)
            case _:  # constant: repeated for each example of the batch
                form = self._tensor(f"{result}.form", np.array(spread))
                rest = self._tensor(f"{result}.rest", np.array(shapes[place]))
                self._node("Reshape", [names["value"], form], f"{result}.value")
                self._node("Shape", inputs, f"{result}.batch", start=0, end=1)
                self._node("Concat", [f"{result}.batch", rest], f"{result}.shape", axis=0)
                self._node("Expand", [f"{result}.value", f"{result}.shape"], result)


def answers(path: Path, dataset: Dataset) -> Tensor:
    """Return the logits of an ONNX file on the test set: all of it with onnxruntime, its start with onnx alone."""
    if find_spec("onnxruntime") is not None:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        run, most = session.run, len(dataset.test_labels)
    else:
        from onnx.reference import ReferenceEvaluator

        run, most = ReferenceEvaluator(str(path)).run, min(FEW, len(dataset.test_labels))
    spans = (slice(first, min(first + EXAMPLES, most)) for first in range(0, most, EXAMPLES))
    parts = (dataset.test_images[span].astype(np.float32) for span in spans)
    return torch.from_numpy(np.concatenate([run(None, {"pictures": chunk})[0] for chunk in parts]))
