"""`python -m contender.prepare`: what must be so in the database before a service or a job of an installation begins.

It brings the tables to the newest migration, under a lock, and makes the tokens whose secrets the environment holds.
Every pod of a cluster runs it first: whoever comes first does the work, and the others find it done.
"""

import sys

from core import tokens
from core.connection import connect, migrate
from core.jobs import run_command
from core.settings import Settings
from core.tokens import Role

WHO = "(installation)"


def prepare(settings: Settings) -> list[str]:
    """Migrates, and makes the tokens. Returns the names of those that were not there yet."""
    engine = connect(settings.require_database_url(), schema=settings.schema_name)
    given = {Role.ADMIN: settings.admin_token, Role.TRAINER: settings.trainer_token}
    try:
        migrate(engine, schema=settings.schema_name)
        return [
            name_of(role)
            for role, secret in given.items()
            if secret and tokens.adopt(engine, name=name_of(role), role=role, secret=secret, who=WHO)
        ]
    finally:
        engine.dispose()


def name_of(role: Role) -> str:
    """How the audit log calls whoever uses the installation's token of a role."""
    return f"installation-{role.value}"


def run(settings: Settings) -> str:
    """Prepares, and says what was done."""
    return f"the database is ready; tokens made: {', '.join(prepare(settings)) or 'none'}"


if __name__ == "__main__":
    sys.exit(run_command("contender.prepare", __doc__ or "", run))
