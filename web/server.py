"""Runs a service under granian: worker processes that share a port, few threads each, a clean end on SIGTERM."""

import signal
import socket

import sqlalchemy as sa

from core.auth import tokens
from core.config.settings import export, load_settings
from core.db.engine import connect
from core.error_translation import translate
from core.errors import ConfigurationError
from web.auth import require_tokens

THREADS = 16
"""Python threads of a worker. Measured with the API on 2 cores: 1 lets one slow request hold up all, 4 gain nothing."""
STOP_SECONDS = 8


def serve(target: str, *, host: str, port: int, workers: int, variable: str) -> None:
    """Serves the app that the factory `target` ("module:function") makes, until SIGTERM or SIGINT.

    `variable` names the environment variables of the service, such as CONTENDER_API, in messages.
    Raises ConfigurationError when the port is taken, or when others can reach the interface and no token exists.
    """
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces
    from granian.log import LogLevels

    require_tokens(host, f"{variable}_HOST", _tokens_exist)
    _require_free(host, port, f"{variable}_PORT")
    # The models are small: libraries that compute on threads of their own would only take memory and turns.
    export({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"})
    Granian(
        target,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=THREADS,
        http=HTTPModes.http1,
        log_level=LogLevels.warning,
        factory=True,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
    ).serve()


def expect_stop() -> None:
    """Lets SIGTERM end a worker that is still being made: it inherits a handler on which only the parent acts."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _tokens_exist() -> bool:
    settings = load_settings()
    engine = connect(settings.require_database_url(), schema=settings.schema_name)
    try:
        return tokens.any_live(engine)
    except sa.exc.DBAPIError as error:
        raise translate(error) or error from error
    finally:
        engine.dispose()


def _require_free(host: str, port: int, variable: str) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} on {host} cannot be used: {error.strerror}.",
                f"Stop what listens there, or choose another port with {variable}.",
            ) from None
