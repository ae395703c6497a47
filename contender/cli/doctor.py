"""`contender doctor`: what on this machine would keep Contender from running, with remedies."""

import platform
import shutil
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contender.console.command import command_context
from contender.console.findings import Finding, require_none_fails, show
from contender.local import state
from contender.vagrant import checks, facts
from contender.vagrant.settings import load_vagrant_settings
from core.config.settings import Settings, variable

_STATE_GIB = 1  # a first run stores about 100 MB; the rest is for later ones
_GIB = 1024**3
PORTS = {
    "api_port": "the API",
    "features_port": "the features service",
    "ingestion_port": "the ingestion service",
    "mlflow_port": "MLflow",
}


def laptop(settings: Settings) -> list[Finding]:
    """The checks of what `contender up` needs."""
    findings = [Finding("ok", f"Python {platform.python_version()} on {sys.platform}.")]
    if sys.platform == "win32":
        findings = [Finding("fails", "Contender does not run on Windows itself.", "In WSL it does.")]
    # The home need not exist yet; its nearest folder that does is on the same disk.
    folder = next(parent for parent in (settings.home, *settings.home.parents) if parent.exists())
    free = shutil.disk_usage(folder).free / _GIB
    findings.append(disk(folder, free))
    stack = state.read(settings)
    if stack is not None and stack.processes:
        return [*findings, Finding("ok", "Contender runs, and uses its ports: contender status")]
    return [*findings, *(port(getattr(settings, name), what, variable(name)) for name, what in PORTS.items())]


def disk(folder: Path, free_gib: float) -> Finding:
    """Whether the disk has space for the stored data."""
    text = f"{free_gib:.1f} GiB are free in {folder}"
    if free_gib < _STATE_GIB:
        return Finding("fails", f"{text}; {_STATE_GIB} is needed.", "Free some, or set CONTENDER_HOME to another disk.")
    return Finding("ok", f"{text}.")


def port(number: int, what: str, name: str) -> Finding:
    """Whether a service can listen on a port."""
    with socket.socket() as probe:
        # As the services do: a port that was just given up counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError as error:
            return Finding(
                "fails",
                f"Port {number}, which {what} needs, cannot be used: {error.strerror}.",
                f"Set {name} to another port.",
            )
    return Finding("ok", f"Port {number} is free for {what}.")


def add_to(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def doctor(
        vagrant: Annotated[
            bool, typer.Option("--vagrant", help="Check what `vagrant up` needs, before it downloads anything.")
        ] = False,
    ) -> None:
        """Check what `contender up`, or `vagrant up`, needs of this machine. Exit code 42 when a check fails."""
        console = Console()
        with command_context(console) as (settings, _):
            findings = checks.check(facts.gather(), load_vagrant_settings()) if vagrant else laptop(settings)
            show(console, findings)
            require_none_fails(findings, "vagrant up" if vagrant else "contender up")
