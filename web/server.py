"""Runs a service under granian: worker processes that share a port, with few threads each, until SIGTERM."""

import signal
import socket
from importlib import import_module
from typing import TYPE_CHECKING

from core.auth import tokens
from core.config.settings import export, load_settings
from core.db.engine import open_engine
from core.errors import ConfigurationError
from core.logs import configure_logs
from web.auth import require_tokens

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# Python threads of a worker. Measured with the API on 2 cores: 1 lets one slow request hold up all, 4 gain nothing.
THREADS = 16
STOP_SECONDS = 8


def serve(target: str, *, host: str, port: int, workers: int, variable: str) -> None:
    """Serve an app until SIGTERM or SIGINT.

    Args:
        target: the factory of the app, as "module:function"; called in each worker process.
        host: the interface to listen on.
        port: the port to listen on.
        workers: how many processes.
        variable: prefix of the service's environment variables, such as CONTENDER_API, for messages.

    Raises:
        ConfigurationError: the port is taken, or other machines can reach the interface and no token exists.
    """
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces
    from granian.log import LogLevels

    require_tokens(host, f"{variable}_HOST", _tokens_exist)
    _require_free(host, port, f"{variable}_PORT")
    # The models are small: threads of numerical libraries would only cost memory and compete with the workers.
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


def make_worker(api_module: str) -> "WSGIApplication":
    """The app of a worker process, by the function `create_app` of a service's API module."""
    restore_sigterm()
    # Only now: SIGTERM must end the process also during these imports, which take a second.
    from web.service import start_audit_log

    settings = load_settings()
    configure_logs(settings.log_format)
    return start_audit_log(import_module(api_module).create_app(settings))


def restore_sigterm() -> None:
    """Let SIGTERM end a worker process that has not started yet: it inherits the parent's handler, which ignores it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _tokens_exist() -> bool:
    settings = load_settings()
    with open_engine(settings.require_database_url(), schema=settings.schema_name) as engine:
        return tokens.any_live(engine)


def _require_free(host: str, port: int, variable: str) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        # Connections of a service that just ended wait for a minute, and do not keep the next one from listening.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} on {host} cannot be used: {error.strerror}.",
                f"Stop what listens there, or choose another port with {variable}.",
            ) from None
