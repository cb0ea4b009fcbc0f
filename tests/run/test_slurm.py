"""A study as an array job: the script, and a Slurm of one node where its programs are installed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import pytest

from prunescope.run import run_study
from prunescope.run.slurm import ArrayJob
from prunescope.table import Store
from tests.commands import fails, run
from tests.run.studies import dense_study, rows

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
MISSING = [name for name in PROGRAMS if which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]


def needs_slurm(test: Callable[..., None]) -> Callable[..., None]:
    """Skip a test where no Slurm can be started."""
    words = f"Slurm is not installed: no {', '.join(MISSING)} (apt-get install slurm-wlm)"
    root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may start a Slurm")
    return root(pytest.mark.skipif(bool(MISSING), reason=words)(test))  # type: ignore[no-any-return]


def test_a_job_asks_for_what_it_was_told(tmp_path: Path) -> None:
    job = ArrayJob(
        "mine",
        ["prunescope", "run", "a study.toml"],
        tmp_path / "with space",
        tmp_path / "logs",
        3,
        gpus=1,
        cores=4,
        memory="16G",
        seconds=4 * 3600,
        finish=900.0,
        partition="fast",
        options=["--qos=high"],
    )
    lines = job.script().splitlines()
    assert lines[0] == "#!/bin/bash"
    options = {line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")}
    assert options == {
        "--job-name=mine", "--array=0-2", f"--output={tmp_path}/logs/%A_%a.log", "--open-mode=append",
        "--cpus-per-task=4", "--gres=gpu:1", "--mem=16G", "--time=240", "--signal=B:TERM@900", "--partition=fast",
        "--requeue", "--qos=high",
    }  # fmt: skip
    assert f"cd '{tmp_path}/with space' || exit 1" in lines
    assert "prunescope run 'a study.toml' &" in lines
    bare = ArrayJob("mine", ["true"], tmp_path, tmp_path, 1).script()
    assert "gres" not in bare
    assert "--time" not in bare
    assert "--signal" not in bare


@pytest.mark.parametrize("code", [0, 1, 75])
def test_a_task_ends_as_its_run_does_also_after_a_signal(tmp_path: Path, code: int) -> None:
    """The program in place of the run ends some moments after the signal, as one that finishes a rung."""
    program = f"trap 'sleep 0.2; exit {code}' TERM; touch ready; sleep 60 & wait"
    (tmp_path / "scontrol").write_text('#!/bin/bash\necho "$@" >> requeued\nfalse\n')
    (tmp_path / "scontrol").chmod(0o755)
    script = tmp_path / "job.sh"
    script.write_text(ArrayJob("mine", ["bash", "-c", program], tmp_path, tmp_path, 1).script())
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    with subprocess.Popen(["bash", str(script)], env=environment, stdout=subprocess.DEVNULL) as process:
        while not (tmp_path / "ready").exists():
            time.sleep(0.01)
        process.terminate()
        assert process.wait() == code
    requeued = tmp_path / "requeued"
    assert (requeued.read_text() if requeued.exists() else "") == ("requeue 7\n" if code == 75 else "")


def test_a_job_is_written_and_nothing_is_submitted(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text(dense_study().to_toml())
    done = run("submit", study, "--slurm", "--copies", 3, "--store", tmp_path / "store", "--", "--keep-weights")
    script = tmp_path / "store.slurm" / "job.sh"
    assert done.stdout == f"wrote {script}\n"
    assert not (tmp_path / "store").exists()
    assert f"run {study} --store {tmp_path}/store --copies 3 --device cpu --keep-weights &" in script.read_text()
    assert "--slurm" in fails(2, "submit", study, "--gpus", 2)
    assert "--gpus or --copies" in fails(2, "submit", study, "--slurm")
    assert "--finish" in fails(2, "submit", study, "--slurm", "--gpus", 2, "--time", "5m")
    assert "--sbatch" in fails(2, "submit", study, "--slurm", "--gpus", 2, "--sbatch", "qos=high")


@dataclass
class Cluster:
    """A Slurm of one node."""

    environment: dict[str, str]

    def ask(self, *words: str) -> str:
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def state(self) -> str:
        """Return what the node does; nothing while nobody answers."""
        return subprocess.run(["sinfo", "-h"], env=self.environment, capture_output=True, text=True, check=False).stdout


def _port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Cluster]:
    """Start a Slurm with three slots; its parts run in the foreground, so that they can be ended."""
    folder, host = tmp_path / "slurm", socket.gethostname().split(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    (folder / "key").write_bytes(os.urandom(1024))
    (folder / "key").chmod(0o400)
    (folder / "slurm.conf").write_text(
        "\n".join(
            [
                "ClusterName=test",
                f"SlurmctldHost={host}(127.0.0.1)",
                f"AuthType=auth/munge\nAuthInfo=socket={folder}/socket,cred_expire=5",
                "SlurmUser=root\nSlurmdUser=root",
                f"SlurmctldPort={_port()}\nSlurmdPort={_port()}",
                f"StateSaveLocation={folder}/state\nSlurmdSpoolDir={folder}/spool",
                f"SlurmctldPidFile={folder}/slurmctld.pid\nSlurmdPidFile={folder}/slurmd.pid",
                f"SlurmctldLogFile={folder}/slurmctld.log\nSlurmdLogFile={folder}/slurmd.log",
                "ProctrackType=proctrack/pgid\nTaskPlugin=task/none\nMpiDefault=none",
                "SelectType=select/cons_tres\nSelectTypeParameters=CR_CPU",
                "SlurmdParameters=config_overrides\nReturnToService=2\nKillWait=5",
                f"NodeName={host} NodeAddr=127.0.0.1 CPUs=3 RealMemory=4000 State=UNKNOWN",
                "PartitionName=test Nodes=ALL Default=YES State=UP",
            ]
        )
        + "\n"
    )
    environment = os.environ | {
        "SLURM_CONF": str(folder / "slurm.conf"),
        "PATH": f"{os.environ['PATH']}:/usr/sbin",
        "OMP_NUM_THREADS": "1",
    }
    munged = ["munged", "--foreground", "--force", f"--key-file={folder}/key", f"--socket={folder}/socket"]
    munged += [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]
    started = []
    try:
        for command in (munged, ["slurmctld", "-D", "-i"], ["slurmd", "-D"]):
            with (folder / f"{command[0]}.out").open("w") as output:
                started.append(subprocess.Popen(command, env=environment, stdout=output, stderr=output))
            while command is munged and not (folder / "socket").exists():
                time.sleep(0.05)
        cluster = Cluster(environment)
        while "idle" not in cluster.state():
            assert all(process.poll() is None for process in started), (folder / "slurmctld.out").read_text()
            time.sleep(0.1)
        yield cluster
    finally:
        if len(started) == 3:
            subprocess.run(["scancel", "--user=root"], env=environment, check=False, capture_output=True)
        for process in reversed(started):
            process.terminate()
            process.wait()


@needs_slurm
def test_copies_under_slurm_train_a_study_and_one_that_stops_is_queued_again(tmp_path: Path, slurm: Cluster) -> None:
    study, path, store = dense_study(replicates=6, levels=15, epochs=20), tmp_path / "study.toml", tmp_path / "store"
    path.write_text(study.to_toml())
    whole = Store(tmp_path / "whole", create=True)
    words = ["submit", str(path), "--slurm", "--copies", "3", "--cores", "1", "--time", "30m", "--go"]
    done = subprocess.run(
        [sys.executable, "-m", "prunescope", *words, "--store", str(store), "--", "--workers", "1"],
        env=slurm.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    job = done.stdout.split("as job ")[1].split(";")[0]
    first = store.with_name("store.slurm") / f"{job}_0.log"
    while not (first.exists() and "done before" in first.read_text()):
        time.sleep(0.1)
    slurm.ask("scancel", "--batch", "--signal=TERM", f"{job}_0")  # as before the end of its time
    while slurm.ask("squeue", "-h").strip():
        time.sleep(0.2)
    run_study(study, whole, workers=1)
    logs = "\n".join(log.read_text() for log in first.parent.glob("*.log"))
    assert "queued again" in first.read_text(), logs
    assert str(store) in first.read_text().split("queued again")[1]  # it began again, and said what was left
    assert "Traceback" not in logs
    assert "failed" not in logs
    assert _close(rows(Store(store)), rows(whole))
    assert not list((store / "claims").iterdir())


@needs_slurm
def test_workers_under_slurm_train_a_study_and_leave(tmp_path: Path, slurm: Cluster) -> None:
    """Jobs of a Dask cluster begin when there is work, and are gone when it is done."""
    study, path, store = dense_study(replicates=4, levels=3), tmp_path / "study.toml", tmp_path / "store"
    path.write_text(study.to_toml())
    cluster = tmp_path / "slurm.toml"
    cluster.write_text(
        '[cluster]\nkind = "slurm"\nworkers = 2\ncores = 1\nmemory = "1GB"\ninterface = "lo"\ntime = "30m"\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "prunescope", "run", str(path), "--store", str(store), "--cluster", str(cluster)],
        env=slurm.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    logs = "\n".join(log.read_text() for log in (tmp_path / "slurm.cluster").glob("*.err"))
    assert done.returncode == 0, done.stderr + logs
    assert "waiting for workers" in done.stderr
    whole = Store(tmp_path / "whole", create=True)
    run_study(study, whole, workers=1)
    assert _close(rows(Store(store)), rows(whole))
    while slurm.ask("squeue", "-h").strip():
        time.sleep(0.1)


def _close(ours: dict[tuple[str, int], tuple[object, ...]], theirs: dict[tuple[str, int], tuple[object, ...]]) -> bool:
    """Whether rows are the same, losses to rounding: cohorts of copies are smaller than those of a single run."""
    return ours.keys() == theirs.keys() and all(
        value == (pytest.approx(other, rel=1e-5) if isinstance(other, float) else other)
        for key in ours
        for value, other in zip(ours[key], theirs[key], strict=True)
    )
