"""Log lines name the component that speaks, where readers of structlog's lines look for it."""

import json

import pytest

from core.logs import configure_logs, get_log


def test_a_line_in_json_names_its_component(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")

    get_log("serving").info("It moved.", task="spy")

    line = json.loads(capsys.readouterr().err)
    assert (line.pop("timestamp")[-1], line) == (
        "Z",
        {"event": "It moved.", "level": "info", "logger_name": "serving", "task": "spy"},
    )


def test_a_line_for_people_has_it_in_brackets_even_of_a_logger_made_before(capsys: pytest.CaptureFixture[str]) -> None:
    log = get_log("serving")
    configure_logs("console")

    log.warning("It moved.", task="spy")

    words = capsys.readouterr().err.split()
    assert words[-4:] == ["It", "moved.", "[serving]", "task=spy"]
