"""`contender token`: create, list and revoke bearer tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated

import sqlalchemy as sa
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contender.console.command import command_context
from contender.local.admin_token import login_name
from core.auth import tokens
from core.auth.tokens import Role
from core.db.engine import open_engine

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke the bearer tokens that the services accept.")


@app.command()
def create(
    role: Annotated[Role, typer.Option("--role", help="trainer: training and feedback; admin: management as well.")],
    name: Annotated[str, typer.Option("--name", help="The name that the audit log records for its requests.")],
    days: Annotated[
        int | None,
        typer.Option("--days", min=1, max=3650, help="How long it is valid; without it, until it is revoked."),
    ] = None,
) -> None:
    """Create a token and print its secret, on a line of its own; it is shown only this once."""
    # The secret alone goes to standard output, for `TOKEN=$(contender token create …)`.
    console, notes = Console(), Console(stderr=True)
    with _database(notes) as engine:
        lifetime = timedelta(days=days) if days is not None else None
        secret = tokens.create(engine, name=name, role=role, lifetime=lifetime, who=login_name())
        until = f"for {days} days" if days is not None else "until it is revoked"
        notes.print(escape(f"The token {name!r} is valid for the role {role.value}, {until}. Its secret, shown once:"))
        # As it is: neither read as markup nor broken into lines.
        console.print(secret, markup=False, highlight=False, soft_wrap=True)


@app.command(name="list")
def show() -> None:
    """Show every token ever created. Secrets are not stored, so they cannot be shown."""
    console = Console()
    with _database(Console(stderr=True)) as engine:
        table = Table("id", "name", "role", "state", "created", "until", box=None, pad_edge=False)
        for token in tokens.list_tokens(engine):
            ended = token.revoked_at if token.state == "revoked" else token.expires_at
            until = f"{ended:%Y-%m-%d %H:%M}" if ended else ""
            cells = (
                str(token.id),
                token.name,
                token.role.value,
                token.state,
                f"{token.created_at:%Y-%m-%d %H:%M}",
                until,
            )
            table.add_row(*(escape(cell) for cell in cells))
        console.print(table if table.row_count else "No token was created yet.")


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME_OR_ID", help="As `contender token list` shows it.")],
) -> None:
    """Revoke a token. Running services refuse it within seconds."""
    console = Console()
    with _database(Console(stderr=True)) as engine:
        for token in tokens.revoke(engine, name, who=login_name()):
            console.print(escape(f"Revoked: {token.name} (id {token.id}, role {token.role.value})."))


@contextmanager
def _database(notes: Console) -> Iterator[sa.Engine]:
    """The database, within the frame of a command."""
    with (
        command_context(notes) as (settings, _),
        open_engine(settings.require_database_url(), schema=settings.schema_name) as engine,
    ):
        yield engine
