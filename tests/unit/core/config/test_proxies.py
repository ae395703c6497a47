"""On a machine with a proxy, what we say to ourselves does not go through it."""

import os
from urllib.request import getproxies_environment

import pytest

from core.config.settings import keep_loopback_from_proxies


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ, "no_proxy", "NO_PROXY"]:
        if name.lower().endswith("_proxy"):
            monkeypatch.setenv(name, "")  # put back afterwards, whatever was set in between


@pytest.mark.parametrize(
    ("exceptions", "expected"),
    [
        ("", "127.0.0.1,localhost,::1"),
        ("localhost, .example.org", "localhost,.example.org,127.0.0.1,::1"),
        ("*", "*"),
    ],
)
@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
def test_this_machine_joins_the_exceptions_that_were_made(
    monkeypatch: pytest.MonkeyPatch, variable: str, exceptions: str, expected: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    if variable == "NO_PROXY":
        monkeypatch.delenv("no_proxy")
    monkeypatch.setenv(variable, exceptions)

    keep_loopback_from_proxies()
    keep_loopback_from_proxies()

    assert getproxies_environment()["no"] == expected


def test_without_a_proxy_nothing_is_set() -> None:
    keep_loopback_from_proxies()

    assert getproxies_environment() == {}
