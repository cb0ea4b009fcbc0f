"""What only a Dask cluster has: certificates, versions, workers that come and go, a scheduler that is started again."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from prunescope.errors import InputError, PrunescopeError
from prunescope.run import dask_worker, run_study
from prunescope.run.certificates import make_certificates
from prunescope.run.cluster import Cluster
from prunescope.run.cluster_file import ENDS
from prunescope.run.events import ClusterChanged, Event, RungFinished
from prunescope.run.ladder_runner import RunSettings
from prunescope.run.tuning_cache import CohortSettings, TuningCache
from prunescope.study import Study
from prunescope.table import Store, conflicts
from tests.commands import fails, run
from tests.run.dask_clusters import Running, running
from tests.run.studies import dense_study, endless_study, rows

pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster


def together(count: int, patch: pytest.MonkeyPatch) -> None:
    """Let cohorts have so many networks, whatever is measured on whichever worker."""
    patch.setattr(TuningCache, "of_store", lambda self, key: CohortSettings(count, 1, count, 1, 1e-4, starts=count))


def test_a_cluster_listens_on_the_address_asked_for_and_lets_in_who_has_the_key(dask: Running, tmp_path: Path) -> None:
    processes = [psutil.Process(), *map(psutil.Process, dask.pids().values())]
    listening = {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    assert (dask.certificates / "cluster.key").stat().st_mode & 0o077 == 0
    assert dask.certificates.stat().st_mode & 0o077 == 0
    make_certificates(tmp_path / "others")
    with pytest.raises(PrunescopeError, match="no connection"):
        Cluster(dask.address, certificates=tmp_path / "others").connect(timeout=0.5)
    with pytest.raises(PrunescopeError, match="no connection"):
        Cluster(dask.address.replace("tls", "tcp")).connect(timeout=0.5)
    with pytest.raises(InputError) as refused:
        make_certificates(tmp_path / "others")  # machines may use those that are there
    assert refused.value.faults[0].place == str(tmp_path / "others")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_workers_with_other_versions_are_refused(
    dask: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    there = dask_worker.versions()
    here = [(what, "0.0" if at == place else version) for at, (what, version) in enumerate(there)]
    monkeypatch.setattr(dask_worker, "versions", lambda: tuple(here))
    with pytest.raises(PrunescopeError, match=f"{there[place][0]} {there[place][1]}, this run 0.0"):
        run_study(dense_study(), tmp_path / "store", cluster=dask.connected())
    assert not Store(tmp_path / "store").done()


def test_workers_with_several_threads_are_refused_and_late_ones_sent_away(tmp_path: Path) -> None:
    from distributed import LocalCluster

    host = {
        "host": "127.0.0.1",
        "protocol": "tcp://",
        "processes": False,
        "dashboard_address": "127.0.0.1:0",
        "silence_logs": 50,
    }
    with LocalCluster(n_workers=1, threads_per_worker=2, **host) as threaded:
        with pytest.raises(PrunescopeError, match="--nthreads 1"):
            run_study(dense_study(), tmp_path / "store", cluster=Cluster(threaded.scheduler_address))
        client = Cluster(threaded.scheduler_address).connect()
        settings = tmp_path, None, RunSettings("mine")
        client.register_plugin(dask_worker.RunPlugin("mine", dask_worker.versions(), settings, {}))
        while client.scheduler_info()["workers"] or not client.get_events("mine"):
            time.sleep(0.01)
        client.close()


def test_a_ladder_that_always_crashes_its_worker_is_named_and_its_neighbours_finish(
    dask: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code that crashes is uploaded, as a user's own is."""
    together(4, monkeypatch)
    study, store = dense_study(replicates=4, levels=1, widths=(0.05,)), Store(tmp_path / "store", create=True)
    culprit = study.ladders[1].identity
    mine = tmp_path / "crashing.py"
    mine.write_text(
        "import os\n"
        "from prunescope.run import ladder_runner\n"
        "train = getattr(ladder_runner.train_started, 'train', ladder_runner.train_started)\n"  # loaded again
        "def crashing(networks, *rest):\n"
        f"    if any(start.state.ladder.identity == {culprit!r} for start in networks): os._exit(9)\n"
        "    return train(networks, *rest)\n"
        "crashing.train = train\n"
        "ladder_runner.train_started = crashing\n"
    )
    report = run_study(study, store, cluster=dask.connected(mine))
    assert [failure.ladder for failure in report.failures] == [culprit]
    assert store.done().keys() == {ladder.identity for ladder in study.ladders} - {culprit}
    assert report.elsewhere == 0


@pytest.mark.parametrize("by", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.long)])
def test_a_run_that_ends_early_lets_its_ladders_go(dask: Running, tmp_path: Path, by: signal.Signals) -> None:
    path, store = tmp_path / "study.toml", tmp_path / "store"
    path.write_text(endless_study().to_toml())
    words = ["run", path, "--store", store, "--cluster", dask.address, "--certificates", dask.certificates]
    process = subprocess.Popen(
        [sys.executable, "-m", "prunescope", *map(str, words)], stderr=subprocess.PIPE, text=True, process_group=0
    )
    while not ((store / "rungs").exists() and any((store / "rungs").iterdir())):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, by)
    _, errors = process.communicate()
    if by is signal.SIGINT:
        assert process.returncode == 130
        assert errors.endswith("stopped; the same command continues from here\n")
    assert "Traceback" not in errors
    while any((store / "claims").iterdir()):
        time.sleep(0.05)
    assert all(psutil.pid_exists(pid) for pid in dask.pids().values())


def test_a_worker_whose_time_is_over_leaves_its_task_to_another(
    dask: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together(2, monkeypatch)
    whole, store = Store(tmp_path / "whole", create=True), Store(tmp_path / "store", create=True)
    run_study(dense_study(), whole, workers=1)
    client = dask.connected().connect()
    client.wait_for_workers(2, timeout=120)  # those killed before are started again
    leaving = next(iter(dask.pids()))
    client.run(exec, f"import os; os.environ[{ENDS!r}] = '1.0'", workers=[leaving])
    report = run_study(dense_study(), store, cluster=dask.connected())
    assert (report.failures, report.elsewhere, report.halted) == ([], 0, False)
    assert rows(store) == rows(whole)
    while leaving in client.scheduler_info()["workers"]:
        time.sleep(0.01)
    client.close()


class Machines:
    """A scheduler and workers as their users start them, each a process; what ends is started again."""

    def __init__(self, workers: int) -> None:
        with socket.socket() as opened:
            opened.bind(("127.0.0.1", 0))
            self.port = opened.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self._ended = threading.Event()
        self.scheduler = self._start("dask_scheduler", "--port", str(self.port))
        self.workers = [self._start_worker() for _ in range(workers)]
        self._reviver = threading.Thread(target=self._revive, daemon=True)
        self._reviver.start()

    def _start(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{program}", "--host", "127.0.0.1", "--no-dashboard", *words]
        quick = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "3s"}
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | quick)

    def _start_worker(self) -> subprocess.Popen[bytes]:
        return self._start("dask_worker", self.address, "--nthreads", "1", "--no-nanny")

    def _revive(self) -> None:
        while not self._ended.wait(0.1):
            self.workers = [worker if worker.poll() is None else self._start_worker() for worker in self.workers]

    def restart_scheduler(self) -> None:
        self.scheduler.kill()
        self.scheduler.wait()
        self.scheduler = self._start("dask_scheduler", "--port", str(self.port))

    def end(self) -> None:
        self._ended.set()
        self._reviver.join()
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("replicates", "workers", "kills"),
    [(4, 2, 0), pytest.param(100, 4, 20, marks=pytest.mark.long)],
)
def test_a_study_is_trained_although_workers_die_and_stop_and_the_scheduler_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replicates: int, workers: int, kills: int
) -> None:
    together(2, monkeypatch)
    study: Study = dense_study(replicates=replicates, levels=2, epochs=3)
    rungs = len(study.ladders) * 3
    whole, store = Store(tmp_path / "whole", create=True), Store(tmp_path / "store", create=True)
    run_study(study, whole, workers=1)
    chance, machines, done, events = random.Random(1), Machines(workers), set[int](), list[Event]()
    stopped: list[subprocess.Popen[bytes]] = []

    def on_event(event: Event) -> None:
        events.append(event)
        if not isinstance(event, RungFinished):
            return
        part = sum(event.members for event in events if isinstance(event, RungFinished)) * (kills + 4) // rungs
        if part in done:
            return
        done.add(part)
        if part == 1:
            machines.restart_scheduler()
        elif kills and part == kills // 2:
            stopped.append(chance.choice(machines.workers))
            stopped[0].send_signal(signal.SIGSTOP)
        elif 1 < part <= kills:
            chance.choice([worker for worker in machines.workers if worker not in stopped]).kill()

    try:
        report = run_study(study, store, cluster=Cluster(machines.address), takeover_after=2.0, on_event=on_event)
    finally:
        for worker in stopped:
            worker.send_signal(signal.SIGCONT)
        machines.end()
    assert (report.failures, report.elsewhere) == ([], 0)
    assert rows(store) == rows(whole)
    assert conflicts(store) == ()
    assert sum(isinstance(event, ClusterChanged) and "is back" in event.words for event in events) == 1


def test_what_is_wrong_with_a_cluster_file_is_reported_together(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text(
        '[cluster]\nkind = "pbs"\nworkers = 3\nshare = 2\nmemory = "much"\n'
        'time = "1h"\nfinish = "2h"\nimage = "x"\n[x]\n'
    )
    with pytest.raises(InputError) as refused:
        Cluster(path)
    assert [fault.place for fault in refused.value.faults] == [
        "'x'", "cluster.workers", "cluster.memory", "cluster.finish", "cluster.interface", "cluster.image",
    ]  # fmt: skip
    path.write_text('[cluster]\nkind = "local"\nwokers = 2\n')
    with pytest.raises(InputError) as refused:
        Cluster(path)
    assert {fault.place for fault in refused.value.faults} == {"cluster.wokers", "cluster.workers"}


SCRIPT = {
    "slurm": ["#SBATCH --cpus-per-task=4", "#SBATCH --gres=gpu:1", "#SBATCH -t 04:00:00", "#SBATCH --x=1"],
    "pbs": ["#PBS -l select=1:ncpus=4:mem=16gb:ngpus=1", "#PBS -l walltime=04:00:00", "#PBS --x=1"],
    "lsf": ["#BSUB -n 4", '#BSUB -gpu "num=1"', "#BSUB -W 04:00", "#BSUB --x=1"],
}


@pytest.mark.parametrize("kind", list(SCRIPT))
def test_a_plan_shows_the_job_script(tmp_path: Path, kind: str) -> None:
    """As Dask's own companion for queues writes it."""
    path, study = tmp_path / f"{kind}.toml", tmp_path / "study.toml"
    study.write_text(dense_study().to_toml())
    path.write_text(
        f'[cluster]\nkind = "{kind}"\nworkers = 8\nshare = 2\ncores = 4\nmemory = "16GB"\ngpu = true\n'
        'interface = "lo"\ntime = "4h"\noptions = ["--x=1"]\nprologue = ["module load cuda"]\n'
    )
    shown = run("plan", study, "--cluster", path).stdout if kind == "slurm" else Cluster(path).job_script()
    lines = shown.splitlines()
    assert set(SCRIPT[kind]) <= set(lines)
    assert f"export {ENDS}=$(($(date +%s) + 13800))" in lines  # ten minutes before the end
    assert "module load cuda" in lines
    (worker,) = [line for line in lines if "dask_worker" in line]
    assert "--nthreads 1 " in worker
    assert "--nworkers 2 " in worker
    assert "--interface lo" in worker
    assert f"--tls-key {tmp_path}/{kind}.cluster/certificates/cluster.key" in worker
    assert sorted(tmp_path.iterdir()) == sorted([path, study])


def test_spaces_in_paths_are_quoted_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/my python/bin/python")
    content = '[cluster]\nkind = "slurm"\nworkers = 1\nmemory = "1GB"\ninterface = "lo"\ntime = "1h"\n'
    (tmp_path / "good.toml").write_text(content)
    assert "\n'/opt/my python/bin/python' -m " in Cluster(tmp_path / "good.toml").job_script()
    (tmp_path / "with space").mkdir()
    path = tmp_path / "with space" / "slurm.toml"
    path.write_text(content)
    with pytest.raises(InputError) as trouble:
        Cluster(path)
    assert str(tmp_path / "with space") in str(trouble.value)
    path.write_text('[cluster]\nkind = "local"\nworkers = 1\n')  # starts processes, and writes no script
    Cluster(path)


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text(dense_study().to_toml())
    assert "--cluster" in fails(2, "run", study, "--upload", study)
    assert "--workers" in fails(2, "run", study, "--cluster", "tcp://127.0.0.1:1", "--workers", 2)
    assert "--certificates" in fails(2, "run", study, "--cluster", "tls://127.0.0.1:1")
    assert "neither.json" in fails(2, "run", study, "--cluster", "neither.json")
