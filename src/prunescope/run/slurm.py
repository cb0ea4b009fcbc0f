"""The array job of Slurm that runs one study many times on one store, so that each run trains what is free."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prunescope.run.stopping import HALTED


@dataclass(frozen=True)
class ArrayJob:
    """What an array job asks for.

    Attributes
    ----------
    command
        What each of its tasks runs.
    folder
        Where it runs.
    logs
        The folder for what the runs print.
    copies
        How many tasks.
    gpus
        GPUs for each of them.
    seconds
        Wall-clock time; None: what the partition gives.
    finish
        Of that, seconds in which the rungs in training are finished and none is begun.
    options
        Further ones for ``sbatch``.
    """

    name: str
    command: Sequence[str]
    folder: Path
    logs: Path
    copies: int
    gpus: int = 0
    cores: int = 1
    memory: str | None = None
    seconds: float | None = None
    finish: float = 600.0
    partition: str | None = None
    account: str | None = None
    options: Sequence[str] = ()

    def script(self) -> str:
        """Return the job as a script for ``sbatch``.

        A task that the end of its time stopped in good order queues itself again, and so on until the study is trained.
        What the run is killed by, or fails with, ends the task.
        """
        lines = [f"#SBATCH {option}" for option in self._options()]
        return "\n".join(
            [
                "#!/bin/bash",
                f"# {self.copies} runs of one study on one store: each trains what is free. sbatch starts them.",
                *lines,
                "",
                f"cd {shlex.quote(str(self.folder))} || exit 1",
                "trap 'over=1; [ -n \"$!\" ] && kill -TERM $!' TERM  # from Slurm, shortly before the time is over",
                f"{shlex.join(self.command)} &",
                "run=$!",
                '[ -n "$over" ] && kill -TERM $run  # it came before the run had begun',
                "wait $run",
                "while kill -0 $run 2> /dev/null; do wait $run; done  # a signal ends a wait",
                "wait $run",
                "code=$?",
                "trap - TERM",
                f"if [ $code -eq {HALTED} ]; then",
                '    echo "stopped before the time was over; queued again"',
                '    scontrol requeue "$SLURM_JOB_ID" && sleep 60',
                "fi",
                "exit $code",
                "",
            ]
        )

    def _options(self) -> list[str]:
        minutes = None if self.seconds is None else max(1, int(self.seconds // 60))
        wanted = {
            "job-name": self.name,
            "array": f"0-{self.copies - 1}",
            "output": f"{self.logs}/%A_%a.log",
            "open-mode": "append",
            "cpus-per-task": str(self.cores),
            "gres": f"gpu:{self.gpus}" if self.gpus else None,
            "mem": self.memory,
            "time": None if minutes is None else str(minutes),
            "signal": None if minutes is None else f"B:TERM@{int(self.finish)}",
            "partition": self.partition,
            "account": self.account,
        }
        named = [f"--{name}={value}" for name, value in wanted.items() if value is not None]
        return [*named, "--requeue", *self.options]
