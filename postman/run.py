"""`python -m postman.run` sends the collection by newman to a Contender of its own, twice: requests must be repeatable.

It needs Node.js; newman itself comes by `npm ci`. Exit code 1 when an answer was not what the documents say.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from contender.servers.processes import free_port
from postman.collection import ADMIN_TOKEN, COLLECTION

FOLDER = Path(__file__).parent
NEWMAN = FOLDER / "node_modules" / ".bin" / "newman"
SERVICES = ("ingestion", "features", "api")
WALKS = 2
_SECONDS = 240


@contextmanager
def running(home: Path) -> Iterator[Mapping[str, str]]:
    """All services on free ports, on the bundled samples; the values of the collection's variables."""
    ports = {name: free_port() for name in (*SERVICES, "mlflow")}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CONTENDER_")},
        **{f"CONTENDER_{name.upper()}_PORT": str(port) for name, port in ports.items()},
        "CONTENDER_HOME": str(home),
        "CONTENDER_TASKS": str(FOLDER.parent / "tasks"),
        "CONTENDER_YAHOO_URL": "http://127.0.0.1:9",
    }

    def contender(*arguments: str) -> None:
        command = [sys.executable, "-m", "contender", *arguments]
        where = FOLDER.parent
        subprocess.run(command, cwd=where, env=environment, timeout=_SECONDS, check=True)  # noqa: S603 (our own)

    try:
        contender("up", "--detach")
        urls = {f"{name}_url": f"http://127.0.0.1:{ports[name]}" for name in SERVICES}
        yield {**urls, ADMIN_TOKEN: (home / "admin-token").read_text().strip()}
    finally:
        contender("down")


def walk(variables: Mapping[str, str]) -> bool:
    """Sends every request once; whether every check held."""
    values = [word for key, value in variables.items() for word in ("--env-var", f"{key}={value}")]
    quiet = ["--reporters", "cli", "--reporter-cli-no-success-assertions", "--reporter-cli-no-banner"]
    command = [str(NEWMAN), "run", str(COLLECTION), *values, *quiet, "--timeout-request", "30000"]
    return subprocess.run(command, timeout=_SECONDS, check=False).returncode == 0  # noqa: S603 (locked)


def main() -> int:
    """Returns the exit code."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("newman needs Node.js with npm (Debian: apt-get install npm).")
    subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=FOLDER, check=True)  # noqa: S603 (from the lock)
    with TemporaryDirectory(prefix="contender-") as home, running(Path(home)) as variables:
        return 0 if all(walk(variables) for _ in range(WALKS)) else 1


if __name__ == "__main__":
    sys.exit(main())
