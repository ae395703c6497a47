"""The command, in the home of a test's stage."""

import pytest

from tests.support.stage import Stage
from tests.support.terminal import Terminal


@pytest.fixture
def contender(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """The command, in the home of the test's own `stage`."""
    return Terminal(stage.settings, monkeypatch)
