"""Normalisations folded into the convolutions before them, with the running statistics, as in evaluation.

``scale (w x - mean) + shift`` is a convolution with weights ``scale w`` and bias ``shift - scale mean``, where
``scale = weight / sqrt(variance + epsilon)``. Computed in double precision.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from prunescope.export.program import Program, Step
from prunescope.nets.grouped_convolutions import EPSILON


def folded(program: Program) -> Program:
    """Return the same function without normalisations; each must follow a convolution that nothing else reads."""
    double = {name: np.asarray(tensor, np.float64) for name, tensor in program.tensors.items()}
    steps: list[Step] = []
    tensors: dict[str, np.ndarray] = {}
    now = [0]  # where each value of the program is now
    for step in program.steps:
        if step.kind == "norm":
            before = steps[now[step.inputs[0]] - 1]
            weight, bias, mean, variance = (
                double[f"{step.name}.{name}"] for name in ("weight", "bias", "running_mean", "running_var")
            )
            scale = weight / np.sqrt(variance + EPSILON)
            tensors[f"{before.name}.weight"] = double[f"{before.name}.weight"] * scale[:, None, None, None]
            tensors[f"{before.name}.bias"] = bias - scale * mean
            now.append(now[step.inputs[0]])
            continue
        steps.append(replace(step, inputs=tuple(now[place] for place in step.inputs)))
        now.append(len(steps))
        tensors |= {name: tensor for name, tensor in double.items() if name.rpartition(".")[0] == step.name}
    return Program(program.shape, tuple(steps), tensors)
