"""The administrator's token that `contender up` makes, and the file that keeps it."""

from getpass import getuser
from pathlib import Path

from core.auth import tokens
from core.auth.tokens import Role
from core.config.settings import Settings
from core.db.engine import open_engine
from core.files import write_atomically

ADMIN_FILE = "admin-token"
_ADMIN_NAME = "up"


def ensure_admin_token(settings: Settings) -> Path | None:
    """The file that keeps the token of `contender up`, which is made where no administrator has one.

    None when administrators have tokens of their own. A token whose file was lost is revoked and replaced.
    """
    path = settings.home / ADMIN_FILE
    with open_engine(settings.require_database_url(), schema=settings.schema_name) as engine:
        live = [token for token in tokens.list_tokens(engine) if token.state == "live" and token.role is Role.ADMIN]
        kept = tokens.find_live(engine, path.read_text().strip()) if path.exists() else None
        if kept is not None and kept.role is Role.ADMIN:
            return path
        if any(token.name != _ADMIN_NAME for token in live):
            return None
        # The database keeps hashes only, so that a secret without its file cannot be shown again.
        for token in live:
            tokens.revoke(engine, str(token.id), who=login_name())
        secret = tokens.create(engine, name=_ADMIN_NAME, role=Role.ADMIN, lifetime=None, who=login_name())
        write_atomically(path, secret + "\n", private=True)
        return path


def login_name() -> str:
    """The login name, marked so that it cannot be mistaken for the name of a token."""
    return f"{getuser()} (command line)"
