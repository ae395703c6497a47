"""A home that an earlier release made (`scripts/make-home-fixture.py`), put back for a later one to start on."""

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from contender.servers.postgres import binary
from contender.servers.processes import Postgres
from tests.support.paths import REPOSITORY

FIXTURES = REPOSITORY / "tests" / "fixtures"


def restore(name: str, folder: Path) -> dict[str, Any]:
    """Unpacks the home of a release into `folder/home` and its task files into `folder/tasks`, and fills its Postgres.

    Returns what the release answered before it was stopped. The server runs on, as after a machine that lost power.
    """
    with tarfile.open(FIXTURES / name / "home.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    (folder / "home" / "admin-token").chmod(0o600)
    server = Postgres(folder / "home" / "postgres" / "data")
    for dump in sorted((folder / "postgres").iterdir()):
        url = server.database(dump.stem).replace("postgresql+psycopg2", "postgresql")
        command = [binary("psql"), "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--output", "/dev/null"]
        subprocess.run([*command, "--file", str(dump), url], check=True)
    answered: dict[str, Any] = json.loads((FIXTURES / name / "expected.json").read_text())
    return answered
