"""The command, in the home of a test's stage."""

import pytest

from tests.integration.stage import Stage
from tests.integration.terminal import Terminal


@pytest.fixture
def contender(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """The command, in the home of the test's own `stage`."""
    return Terminal(stage.settings, monkeypatch)
