"""Who may reach a service. Until tokens exist, only this machine may."""

import ipaddress

from core.errors import ConfigurationError


def is_loopback(host: str) -> bool:
    """Whether an interface can be reached from this machine only.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def require_loopback(host: str, variable: str) -> None:
    """Raises ConfigurationError for an interface that others can reach: reading is open, but so would be the rest."""
    if not is_loopback(host):
        raise ConfigurationError(
            f"The service is told to listen on {host}, where other machines reach it, and it has no tokens to check.",
            f"Set {variable}=127.0.0.1 (the default), and let a proxy with its own authentication face the network.",
        )
