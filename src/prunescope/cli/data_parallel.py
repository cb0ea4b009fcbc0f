"""What ``prunescope plan --data-parallel N`` says: memory, and what processes tell each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prunescope.cli.printing import spelled_bytes

if TYPE_CHECKING:
    from prunescope.study import Study


def data_parallel_content(study: Study, run_code: bool, processes: int) -> dict[str, Any]:
    """Return what changes where so many processes train each network together: bytes, None where not known.

    ``memory`` is that of all processes together, ``gradients`` what a step of the largest network adds up.
    """
    from prunescope.run.estimate import estimate, members

    parameters = [member.parameters for member in members(study.ladders, run_code)]
    return {
        "processes": processes,
        "memory": estimate(study.ladders, None, run_code=run_code, processes=processes).memory,
        "gradients": 4 * max(parameters) if parameters else None,
    }


def data_parallel_words(content: dict[str, Any], batch: int) -> str:
    """Say it."""
    processes, memory = content["processes"], content["memory"]
    words = f"{processes} processes, each with all weights and 1/{processes} of a batch of {batch:,}"
    if memory is None:
        return words
    each, gradients = spelled_bytes(memory // processes), spelled_bytes(content["gradients"])
    return (
        f"{words}: {spelled_bytes(memory)} of memory, {each} each. On GPUs of their own they take 1/{processes} of a "
        f"GPU's time at best; cores they share. Each step adds up at most {gradients} of gradients for each network"
    )
