"""`contender secrets`: passwords, tokens and certificate of a cluster, in a file that only its owner can read.

What is in the file is in use, so it is never replaced; what a newer release needs besides is added to it.
"""

import secrets as randomness
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from rich.console import Console
from rich.markup import escape

from contender.console.command import command_context
from core.auth.tokens import new_secret
from core.errors import ConfigurationError
from core.files import write_atomically
from core.jobs.clock import Clock, SystemClock

NAME, TLS, S3, REDIS = NAMES = ("contender-secrets", "contender-tls", "contender-s3", "contender-redis")
FILE = "cluster-secrets.yaml"
HOST = "contender.localhost"
"""The host name of the ingress."""
_ABOUT = """\
# Made by `contender secrets`. These secrets give full access to the cluster's data: keep the file out of git.
"""

Manifest = dict[str, Any]


def manifests(namespace: str, clock: Clock) -> list[Manifest]:
    """Kubernetes Secrets with new passwords, new tokens and a new self-signed certificate."""
    # URL-safe, for they are put into URLs as they are.
    superuser, password, models, artifacts, counts = (randomness.token_urlsafe(24) for _ in range(5))
    values = {
        "POSTGRES_PASSWORD": superuser,
        "CONTENDER_DATABASE_URL": f"postgresql+psycopg2://contender:{password}@postgres:5432/contender",
        "MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg2://mlflow:{models}@postgres:5432/mlflow",
        "CONTENDER_ADMIN_TOKEN": new_secret(),
        "CONTENDER_TRAINER_TOKEN": new_secret(),
    }
    s3 = {"MINIO_ROOT_USER": f"contender-{randomness.token_hex(6)}", "MINIO_ROOT_PASSWORD": artifacts}
    redis = {"REDIS_PASSWORD": counts, "CONTENDER_RATE_LIMIT_STORAGE": f"redis://:{counts}@redis:6379/0"}
    certificate, key = self_signed(HOST, clock)
    return [
        _secret(NAME, namespace, "Opaque", values),
        _secret(TLS, namespace, "kubernetes.io/tls", {"tls.crt": certificate, "tls.key": key}),
        _secret(S3, namespace, "Opaque", s3),
        _secret(REDIS, namespace, "Opaque", redis),
    ]


def _secret(name: str, namespace: str, kind: str, values: dict[str, str]) -> Manifest:
    labels = {"app.kubernetes.io/part-of": "contender"}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "stringData": values}


def ensure(path: Path, namespace: str, clock: Clock) -> bool:
    """Make the file, or add to it what it lacks. Returns whether it was written."""
    kept = _read(path) if path.exists() else []
    present = {secret["metadata"]["name"]: secret for secret in kept}
    needed = manifests(namespace, clock)
    whole = [
        {**new, **old, "stringData": {**new["stringData"], **old["stringData"]}}
        for new in needed
        for old in (present.get(new["metadata"]["name"], new),)
    ]
    whole += [old for name, old in present.items() if name not in {new["metadata"]["name"] for new in needed}]
    if whole == kept:
        path.chmod(0o600)  # a copy from elsewhere may have come with other permissions
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, _ABOUT + yaml.safe_dump_all(whole, sort_keys=False), private=True)
    return True


def _read(path: Path) -> list[Manifest]:
    problem = ConfigurationError(
        f"{path} was not written by `contender secrets`, or was changed since.",
        "Restore it; the cluster's own Secrets hold the same values.",
    )
    try:
        kept = [secret for secret in yaml.safe_load_all(path.read_text()) if secret]
        if not all(secret["metadata"]["name"] and secret["stringData"] for secret in kept):
            raise problem
    except (yaml.YAMLError, KeyError, TypeError):
        raise problem from None
    return kept


def add_to(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def secrets(
        namespace: Annotated[str, typer.Option("--namespace", help="The namespace of the cluster.")] = "contender",
        only: Annotated[
            str | None, typer.Option("--only", help="The name of the one Secret to print; without it, all.")
        ] = None,
    ) -> None:
        """Print the Secrets of a cluster, made at the first call: contender secrets | kubectl apply -f -"""
        console, notes = Console(), Console(stderr=True)
        with command_context(notes) as (settings, _):
            path = settings.home / FILE
            made = ensure(path, namespace, SystemClock())
            kept = [secret for secret in _read(path) if only in (None, secret["metadata"]["name"])]
            if not kept:
                raise ConfigurationError(f"There is no Secret {only!r}.", f"There are {', '.join(NAMES)}.")
            notes.print(escape(f"{'Made, and kept' if made else 'Kept'} in {path}; only you can read it."))
            printed = yaml.safe_dump_all(kept, sort_keys=False)
            console.print(printed, markup=False, highlight=False, soft_wrap=True, end="")


# The most that Apple's systems accept of a certificate that was installed by hand.
VALID_DAYS = 825


def self_signed(host: str, clock: Clock) -> tuple[str, str]:
    """A self-signed certificate for a host name, and its key (EC P-256), both in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    begin = clock.now() - timedelta(hours=1)  # for clients whose clock is behind
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()
