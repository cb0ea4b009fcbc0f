"""The file that describes a Dask cluster to be started: its section ``[cluster]``, its job scripts, its start.

Dask and its companion packages are loaded when a cluster is started or a script is shown, not when the file is read.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from shlex import quote
from typing import Any, Literal

from pydantic import Field, ValidationError

from prunescope.durations import seconds_of
from prunescope.errors import Fault, InputError, MissingPackageError, clipped
from prunescope.study.sections import Section
from prunescope.study.validation_messages import faults_of

ENDS = "PRUNESCOPE_ENDS"  # the variable with the time, by the machine's clock, after which a worker begins no rung
QUEUES = {"slurm": "SLURM", "pbs": "PBS", "lsf": "LSF"}
_SIZE = re.compile(r"[0-9]+(\.[0-9]+)? ?[KMGT]i?B")
_QUEUED = ("interface", "time", "finish", "queue", "account", "options", "prologue", "python")
_PODS = ("image", "namespace")


class ClusterKeys(Section):
    """The keys of ``[cluster]``."""

    kind: Literal["local", "slurm", "pbs", "lsf", "kubernetes"] = Field(description="what starts the workers")
    workers: int = Field(ge=1, le=10_000, description="so many at most; those without work are let go")
    least: int = Field(0, ge=0, le=10_000, description="so many at least")
    share: int = Field(1, ge=1, le=64, description="workers in one job, which share its cores, memory and GPU")
    cores: int = Field(2, ge=1, le=1_000, description="of a job")
    memory: str = Field("8GB", description="of a job")
    gpu: bool = Field(False, description="whether a job has a GPU")
    interface: str = Field("", description="network interface that scheduler and workers share, such as ib0")
    time: str = Field("", description="limit of a job, such as 4h")
    finish: str = Field("10m", description="so long before that limit a worker begins no rung")
    queue: str = Field("", description="queue or partition")
    account: str = Field("", description="account to charge")
    options: tuple[str, ...] = Field((), strict=False, description="further options of a job")
    prologue: tuple[str, ...] = Field((), strict=False, description="lines of shell before a worker starts")
    python: str = Field("", description="the Python of the workers [the one that runs this]")
    image: str = Field("", description="container image with prunescope and distributed")
    namespace: str = Field("default", description="of Kubernetes")
    tls: bool = Field(True, description="whether parts prove by a certificate that they belong together")

    @property
    def ends(self) -> float | None:
        """Seconds after which a worker begins no rung; None where jobs have no limit."""
        limit, finish = seconds_of(self.time), seconds_of(self.finish)
        return None if limit is None or finish is None else limit - finish


def read_cluster_file(path: Path) -> ClusterKeys:
    """Read the file of a cluster; all faults are reported together."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as trouble:
        raise InputError(str(path), [Fault("the file", "must be TOML", str(trouble))]) from None
    if not isinstance(content.get("cluster"), dict):
        raise InputError(str(path), [Fault("[cluster]", "must be given")])
    faults = [Fault(clipped(key), "is no section of a cluster file") for key in content if key != "cluster"]
    keys = None
    try:
        keys = ClusterKeys.model_validate(content["cluster"])
    except ValidationError as trouble:
        errors = trouble.errors(include_url=False)
        faults += faults_of(errors, ClusterKeys, ("cluster",), lambda *place: ".".join(map(str, place)))
    if keys is not None:
        faults += _faults(keys)
    if keys is None or faults:
        raise InputError(str(path), faults)
    return keys


def _faults(keys: ClusterKeys) -> Iterator[Fault]:
    """Yield what is wrong between keys."""
    if keys.least > keys.workers:
        yield Fault("cluster.least", "must be at most cluster.workers", str(keys.least))
    if keys.workers % keys.share:
        yield Fault("cluster.workers", "must be a multiple of cluster.share", str(keys.workers))
    if not _SIZE.fullmatch(keys.memory):
        yield Fault("cluster.memory", "must be a size such as 16GB", clipped(keys.memory))
    for name in ("time", "finish"):
        if getattr(keys, name) and seconds_of(getattr(keys, name)) is None:
            yield Fault(f"cluster.{name}", "must be a time such as 4h or 90m", clipped(getattr(keys, name)))
    if keys.ends is not None and keys.ends <= 0:
        yield Fault("cluster.finish", "must be shorter than cluster.time", keys.finish)
    if keys.kind in QUEUES and not keys.interface:
        hint = "`ip -brief address` lists those of a machine."
        yield Fault("cluster.interface", "must name the network interface to listen on", "", hint)
    if keys.kind in QUEUES and not keys.time:
        yield Fault("cluster.time", "must be the limit of a job, such as 4h")
    if keys.kind == "kubernetes" and keys.share > 1:
        yield Fault("cluster.share", "must be 1 on Kubernetes", str(keys.share))
    if keys.kind == "kubernetes" and not keys.image:
        yield Fault("cluster.image", "must name a container image with prunescope and distributed")
    foreign = [*(_QUEUED if keys.kind not in QUEUES else ()), *(_PODS if keys.kind != "kubernetes" else ())]
    for name in foreign:
        if name in keys.model_fields_set:
            yield Fault(f"cluster.{name}", f"is no key of a cluster of kind {keys.kind}")


def job_script(keys: ClusterKeys, name: str, folder: Path, security: Any) -> str:
    """Return what is submitted for each job; of Kubernetes the resource, as JSON."""
    if keys.kind == "kubernetes":
        return json.dumps(_pods_of(keys, name), indent=2)
    if keys.kind == "local":
        return f"# {keys.workers} worker processes on this machine; nothing is submitted.\n"
    queue = _companion("dask_jobqueue", "dask-jobqueue")
    cluster, is_new = getattr(queue, f"{QUEUES[keys.kind]}Cluster"), not folder.exists()
    scheme = "tls" if security else "tcp"
    options = _job(keys, name, folder) | {"security": security, "protocol": f"{scheme}://"}
    script = str(cluster.job_cls(f"{scheme}://SCHEDULER:PORT", name=name, **options).job_script())
    if is_new:
        folder.rmdir()  # the companion has made it, for logs
    return script


def start_cluster(keys: ClusterKeys, name: str, folder: Path, security: Any) -> Any:
    """Start a cluster, and return it as Dask's own object; its workers come when there is work.

    Parameters
    ----------
    folder
        For what its jobs print.
    security
        `distributed.Security`, or None to let everybody in.
    """
    if keys.kind == "local":
        return _start_local(keys, name, security)
    if keys.kind == "kubernetes":
        pods = _companion("dask_kubernetes.operator", "dask-kubernetes")
        cluster = pods.KubeCluster(namespace=keys.namespace, custom_cluster_spec=_pods_of(keys, name), quiet=True)
    else:
        from distributed.utils import get_ip_interface

        queue, host = _companion("dask_jobqueue", "dask-jobqueue"), get_ip_interface(keys.interface)
        cluster = getattr(queue, f"{QUEUES[keys.kind]}Cluster")(
            name=name,
            security=security,
            protocol="tls://" if security else "tcp://",
            scheduler_options={"host": host, "dashboard_address": f"{host}:0", "dashboard": False},
            **_job(keys, name, folder),
        )
    if keys.kind in QUEUES:
        _give_up_at_once(cluster)
    # Each task wants a worker of its own, however short Dask believes it to be; one is let go after 30 idle seconds.
    cluster.adapt(minimum=keys.least, maximum=keys.workers, target_duration="50ms", interval="2s", wait_count=15)
    return cluster


# Ctrl-C in a terminal goes to every process of the run; its workers leave it to the run to end them in good order.
_IGNORES_CTRL_C = "import signal\n\n\ndef dask_setup(worker):\n    signal.signal(signal.SIGINT, signal.SIG_IGN)\n"


def _start_local(keys: ClusterKeys, name: str, security: Any) -> Any:
    from distributed import Nanny, Scheduler, SpecCluster

    host = {"host": "127.0.0.1", "security": security, "protocol": "tls://" if security else "tcp://"}
    workers = {}
    for number in range(keys.workers):
        environment = {"CUDA_VISIBLE_DEVICES": str(number // keys.share)} if keys.gpu else {}
        options = {
            **host,
            "nthreads": 1,
            "env": environment,
            "dashboard": False,
            "memory_limit": None,
            "silence_logs": 50,
            "preload": [_IGNORES_CTRL_C],
        }
        workers[number] = {"cls": Nanny, "options": options}
    scheduler = {"cls": Scheduler, "options": {**host, "dashboard": False, "dashboard_address": "127.0.0.1:0"}}
    cluster = SpecCluster(workers, scheduler, security=security, name=name, silence_logs="critical")
    _give_up_at_once(cluster)
    return cluster


def _give_up_at_once(cluster: Any) -> None:
    """Let the run hear of the first worker that a task has killed; it tries again with fewer ladders together."""
    cluster.scheduler.allowed_failures = 0


def _job(keys: ClusterKeys, name: str, folder: Path) -> dict[str, Any]:
    """Return the arguments of a job of dask-jobqueue. One thread a worker: its task uses the cores by itself."""
    options: dict[str, Any] = {
        "cores": keys.share,
        "processes": keys.share,
        "memory": keys.memory,
        "interface": keys.interface,
        "log_directory": str(folder),
        "job_name": name,
        "python": keys.python or quote(sys.executable),
        "queue": keys.queue or None,
        "job_extra_directives": list(keys.options),
        "job_script_prologue": list(keys.prologue),
        "worker_extra_args": ["--no-dashboard"],
        "death_timeout": 300,
    }
    if keys.ends is not None:
        options["job_script_prologue"].append(f"export {ENDS}=$(($(date +%s) + {int(keys.ends)}))")
    seconds = int(seconds_of(keys.time) or 0)
    clock = f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}"
    limit = clock if keys.kind == "lsf" else f"{clock}:{seconds % 60:02d}"
    directives = options["job_extra_directives"]
    if keys.kind == "slurm":
        options |= {"job_cpu": keys.cores, "walltime": limit}
        options["account"] = keys.account or None
        directives += ["--gres=gpu:1"] if keys.gpu else []
    elif keys.kind == "pbs":
        size = keys.memory.replace(" ", "").replace("i", "").lower()
        gpu = ":ngpus=1" if keys.gpu else ""
        options["resource_spec"] = f"select=1:ncpus={keys.cores}:mem={size}{gpu}"
        options |= {"walltime": limit, "account": keys.account or None}
    else:
        options |= {"ncpus": keys.cores, "walltime": limit, "project": keys.account or None}
        directives += ['-gpu "num=1"'] if keys.gpu else []
    return options


def _pods_of(keys: ClusterKeys, name: str) -> Any:
    """Return the resource of Dask's operator; its scheduler needs neither the memory nor the GPU of a worker."""
    size = keys.memory.replace(" ", "").removesuffix("B")  # 16G, 16Gi
    wanted = {"cpu": str(keys.cores), "memory": size} | ({"nvidia.com/gpu": "1"} if keys.gpu else {})
    spec = _companion("dask_kubernetes.operator", "dask-kubernetes").make_cluster_spec(
        name=name,
        image=keys.image,
        n_workers=keys.least,
        resources={"requests": wanted, "limits": wanted},
        worker_command=["dask", "worker", "--nthreads", "1"],
    )
    spec["spec"]["scheduler"]["spec"]["containers"][0]["resources"] = {}
    return spec


def _companion(module: str, package: str) -> Any:
    """Import one of Dask's companion packages, which one kind of cluster needs."""
    try:
        return import_module(module)
    except ImportError as trouble:
        raise MissingPackageError(f"this kind of cluster needs {package}: pip install {package} ({trouble})") from None
