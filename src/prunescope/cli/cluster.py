"""``prunescope cluster`` and ``submit``: what a Dask cluster needs before it is started, and runs as jobs of Slurm."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from shutil import which

import click

from prunescope.cli.options import DURATION
from prunescope.errors import Fault, InputError, MissingPackageError, PrunescopeError, command, printable, shell_word


@click.group()
def cluster() -> None:
    """Prepare a Dask cluster."""


@cluster.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--days", type=click.IntRange(1), default=365, show_default=True, help="How long they are valid.")
def certificates(folder: Path, days: int) -> None:
    """Make a certificate and its key for a cluster.

    Scheduler, workers and runs encrypt what they say, and let in only who has the key. Whoever has it may run any code
    on all of them: keep DIR where only you can read it, on every machine under the same path.
    """
    from prunescope.run.certificates import make_certificates

    certificate, key = make_certificates(folder.absolute(), days)
    files = f"--tls-ca-file {shell_word(certificate)} --tls-cert {shell_word(certificate)} --tls-key {shell_word(key)}"
    click.echo(f"wrote {certificate} and {key}")
    click.echo(f"next: dask scheduler --protocol tls --host ADDRESS {files}", err=True)
    click.echo(f"      dask worker tls://ADDRESS:8786 --nthreads 1 --host ADDRESS {files}", err=True)
    click.echo(f"      prunescope run STUDY --cluster tls://ADDRESS:8786 --certificates {shell_word(folder)}", err=True)


@click.command()
@click.argument("study")
@click.argument("run_options", metavar="[-- OPTIONS OF RUN]", nargs=-1, type=click.UNPROCESSED)
@click.option("--slurm", is_flag=True, help="As an array job of Slurm.")
@click.option("--gpus", type=click.IntRange(1), metavar="N", help="N copies of the run with a GPU each.")
@click.option("--copies", type=click.IntRange(1), metavar="N", help="N copies of the run without GPUs.")
@click.option("--store", "store_path", type=click.Path(path_type=Path), help="Where rows go [runs/NAME].")
@click.option("--time", "seconds", type=DURATION, metavar="TIME", help="Limit of a job, such as 4h [the partition's].")
@click.option(
    "--finish",
    type=DURATION,
    default="10m",
    show_default=True,
    metavar="TIME",
    help="Begin no rung this long before that limit: longer than a rung takes.",
)
@click.option("--cores", type=click.IntRange(1), default=2, show_default=True, help="Processor cores of a copy.")
@click.option("--memory", metavar="SIZE", help="Memory of a copy, such as 16G [the partition's].")
@click.option("--partition", help="Partition of the cluster.")
@click.option("--account", help="Account to charge.")
@click.option(
    "--sbatch", "sbatch_options", multiple=True, metavar="OPTION", help="Another option for sbatch; repeatable."
)
@click.option("--go", is_flag=True, help="Submit the job; without, only write it.")
def submit(
    study: str,
    run_options: tuple[str, ...],
    slurm: bool,
    gpus: int | None,
    copies: int | None,
    store_path: Path | None,
    seconds: float | None,
    finish: float,
    cores: int,
    memory: str | None,
    partition: str | None,
    account: str | None,
    sbatch_options: tuple[str, ...],
    go: bool,
) -> None:
    """Write or submit a job that trains a STUDY on a cluster.

    Each copy of the run trains what is free in the one store, which must lie where all machines see it. A copy whose
    time is over finishes the rung in training and queues itself again, until the study is trained.
    """
    from prunescope.run.slurm import ArrayJob
    from prunescope.study import read_study

    if not slurm:
        raise click.UsageError("submit needs --slurm: no other scheduler is known")
    if (gpus is None) == (copies is None):
        raise click.UsageError("submit needs --gpus or --copies, not both: how many copies of the run")
    if seconds is not None and finish >= seconds:
        fault = Fault("--finish", "must be shorter than --time", f"{finish:g} s of {seconds:g} s")
        raise InputError("the job", [fault])
    if bad := [option for option in sbatch_options if not option.startswith("-") or "\n" in option]:
        raise InputError("the job", [Fault("--sbatch", "must be an option such as --qos=high", repr(bad[0]))])
    read = read_study(study)
    count = gpus or copies or 1
    store = (store_path or Path("runs") / read.folder).absolute()
    words = [sys.executable, "-m", "prunescope", "run", str(Path(study).absolute()) if Path(study).is_file() else study]
    words += ["--store", str(store), "--copies", str(count), "--device", "cuda" if gpus else "cpu", *run_options]
    folder = store.with_name(f"{store.name}.slurm")
    job = ArrayJob(
        f"prunescope-{read.folder}",
        words,
        Path.cwd(),
        folder,
        count,
        gpus=1 if gpus else 0,
        cores=cores,
        memory=memory,
        seconds=seconds,
        finish=finish,
        partition=partition,
        account=account,
        options=sbatch_options,
    )
    script = folder / "job.sh"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        script.write_text(job.script())
    except OSError as trouble:
        raise PrunescopeError(f"{script} cannot be written: {trouble.strerror}") from None
    if not go:
        click.echo(f"wrote {printable(str(script))}")
        click.echo(f"next: sbatch {printable(str(script))}, or the same command with --go", err=True)
        return
    if which("sbatch") is None:
        raise MissingPackageError(f"sbatch is not installed here; on a machine of the cluster: sbatch {script}")
    done = subprocess.run(["sbatch", "--parsable", str(script)], capture_output=True, text=True, check=False)  # noqa: S603, S607
    if done.returncode:
        raise PrunescopeError(f"sbatch refused {script}: {done.stderr.strip()}")
    click.echo(f"submitted {count} copies as job {done.stdout.strip().split(';')[0]}; logs: {printable(str(folder))}")
    click.echo(f"next: {command('status', store)}", err=True)
