"""What the worker process of the features service calls after the fork."""

from typing import TYPE_CHECKING

from core.config.settings import load_settings
from core.logs import configure_logs
from web.server import expect_stop

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def make() -> "WSGIApplication":
    """The app of this worker. The heavy imports come after SIGTERM has been given back its meaning."""
    expect_stop()
    from features.api import create_app
    from web.service import attend

    settings = load_settings()
    configure_logs(settings.log_format)
    return attend(create_app(settings))
