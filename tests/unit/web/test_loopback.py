"""A service without tokens listens to this machine only."""

import pytest

from core.errors import ConfigurationError
from web.auth import require_loopback
from web.server import serve


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.1.1", "::1", "localhost"])
def test_this_machine_is_allowed(host: str) -> None:
    require_loopback(host, "CONTENDER_API_HOST")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.10", "example.org", ""])
def test_a_service_that_others_could_reach_refuses_to_start(host: str) -> None:
    with pytest.raises(ConfigurationError, match="CONTENDER_API_HOST"):
        serve("none:none", host=host, port=0, workers=1, variable="CONTENDER_API")
