"""`python -m postman` writes the collection from the documents of services on an empty database."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from contender.servers.processes import Postgres
from core.config.settings import Settings
from core.db.engine import connect, migrate
from postman.collection import COLLECTION, written
from postman.documents import services

_TASKS = Path(__file__).parent.parent / "tasks"
_NOWHERE = "http://127.0.0.1:9"


def main() -> int:
    """Writes the file; returns the exit code."""
    with TemporaryDirectory(prefix="contender-") as home:
        postgres = Postgres(Path(home) / "postgres" / "data")
        try:
            url = postgres.database("contender")
            settings = Settings(home=Path(home), tasks=_TASKS, database_url=url, schema_name="", mlflow_url=_NOWHERE)
            engine = connect(url, schema="")
            migrate(engine, schema="")
            engine.dispose()
            COLLECTION.write_text(written(services(settings)))
        finally:
            postgres.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
