"""`contender secrets`: the passwords and tokens of a cluster, made once, kept in a file that only its owner reads."""

import secrets as randomness
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.markup import escape

from contender.command import told
from contender.private import write_private
from core.tokens import new_secret

NAME = "contender-secrets"
FILE = "cluster-secrets.yaml"
_ABOUT = """\
# Made by `contender secrets`. Whoever reads this file can do anything to the cluster's data: keep it out of git.
"""


def manifest(namespace: str) -> str:
    """A Kubernetes Secret with new passwords for PostgreSQL and new tokens, as YAML."""
    superuser, password, models = (randomness.token_urlsafe(24) for _ in range(3))
    values = {
        "POSTGRES_PASSWORD": superuser,
        "CONTENDER_DATABASE_URL": f"postgresql+psycopg2://contender:{password}@postgres:5432/contender",
        "MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg2://mlflow:{models}@postgres:5432/mlflow",
        "CONTENDER_ADMIN_TOKEN": new_secret(),
        "CONTENDER_TRAINER_TOKEN": new_secret(),
    }
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": NAME, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "contender"}},
        "type": "Opaque",
        "stringData": values,
    }
    return _ABOUT + yaml.safe_dump(secret, sort_keys=False)


def ensure(path: Path, namespace: str) -> bool:
    """Makes the file where there is none. Returns whether it did: what is in use is never replaced."""
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, manifest(namespace))
    return True


def add_to(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command()
    def secrets(
        namespace: Annotated[str, typer.Option("--namespace", help="The namespace of the cluster.")] = "contender",
    ) -> None:
        """Print the Secret of a cluster, made at the first call: contender secrets | kubectl apply -f -"""
        console, notes = Console(), Console(stderr=True)
        with told(notes) as (settings, _):
            path = settings.home / FILE
            made = ensure(path, namespace)
            notes.print(escape(f"{'Made, and kept' if made else 'Kept'} in {path}; only you can read it."))
            console.print(path.read_text(), markup=False, highlight=False, soft_wrap=True, end="")
