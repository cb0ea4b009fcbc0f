"""The certificate with which all parts of a Dask cluster know each other, made by the openssl of the machine.

One self-signed certificate serves scheduler, workers and runs: Dask makes no difference between them, so whoever has
the key may do everything anyway. Nothing here listens or connects.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

from prunescope.errors import Fault, InputError, MissingPackageError, PrunescopeError

if TYPE_CHECKING:
    from distributed import Security

CERTIFICATE, KEY = "cluster.crt", "cluster.key"
DAYS = 365


def make_certificates(folder: Path, days: int = DAYS) -> tuple[Path, Path]:
    """Make a certificate and its key in a folder that only its owner may read; return both.

    A pair that is there stays: machines may be using it.
    """
    certificate, key = folder / CERTIFICATE, folder / KEY
    if certificate.exists() or key.exists():
        fault = Fault(str(folder), "must hold no certificate yet", f"{CERTIFICATE} or {KEY}")
        raise InputError("the certificates", [fault])
    program = which("openssl")
    if program is None:
        raise MissingPackageError("certificates are made by openssl, which is not installed here")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha256"]
    words += ["-days", str(days), "-subj", "/CN=prunescope cluster"]
    words += [
        "-addext",
        "keyUsage=critical,digitalSignature,keyCertSign",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        reason = done.stderr.strip().split("\n")[-1]
        raise PrunescopeError(f"openssl made no certificate in {folder}: {reason}")
    key.chmod(0o600)
    return certificate, key


def security_of(folder: Path) -> Security:
    """Return how Dask encrypts, and lets in only who has the key of a folder."""
    missing = [path for path in (folder / CERTIFICATE, folder / KEY) if not path.is_file()]
    if missing:
        hint = "`prunescope cluster certificates DIR` makes them."
        faults = [Fault(str(path), "must be a file", "none", hint) for path in missing]
        raise InputError("the certificates", faults)
    return security_named(folder)


def security_named(folder: Path) -> Security:
    """Return the same for files that need not be there yet."""
    from distributed import Security

    certificate, key = folder / CERTIFICATE, folder / KEY
    roles = {f"tls_{role}_{part}": str(path) for role in ("client", "scheduler", "worker")
             for part, path in (("cert", certificate), ("key", key))}  # fmt: skip
    return Security(tls_ca_file=str(certificate), require_encryption=True, **roles)
