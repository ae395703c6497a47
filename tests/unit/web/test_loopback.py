"""A service without tokens listens to this machine only."""

import pytest

from core.errors import ConfigurationError
from web.auth import require_tokens

REACHED = ["0.0.0.0", "::", "192.168.1.10", "example.org", ""]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.1.1", "::1", "localhost"])
def test_on_this_machine_no_token_is_looked_for(host: str) -> None:
    require_tokens(host, "CONTENDER_API_HOST", exist=lambda: pytest.fail("asked"))


@pytest.mark.parametrize("host", REACHED)
def test_a_service_that_others_could_reach_refuses_to_start_without_tokens(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"contender token create .*CONTENDER_API_HOST"):
        require_tokens(host, "CONTENDER_API_HOST", exist=lambda: False)


@pytest.mark.parametrize("host", REACHED)
def test_with_tokens_it_starts(host: str) -> None:
    require_tokens(host, "CONTENDER_API_HOST", exist=lambda: True)
