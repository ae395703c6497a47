"""What granian calls in each worker process of the features service."""

from typing import TYPE_CHECKING

from web.server import make_worker

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def make() -> "WSGIApplication":
    """The app of this worker process."""
    return make_worker("features.api")
