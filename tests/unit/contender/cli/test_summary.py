from datetime import date

from contender.cli.summary import _lines, alarms

MLFLOW = "http://127.0.0.1:5000"
URLS = {"api": "http://127.0.0.1:8000", "mlflow": MLFLOW, "ingestion": "http://127.0.0.1:8002"}
TOKEN = ".contender/admin-token"


def lines(tasks: dict[str, bool], token: str | None = TOKEN, *, detach: bool = True) -> list[str]:
    return _lines(URLS, tasks, token, detach=detach)


def test_in_the_foreground_tomorrow_belongs_to_another_terminal() -> None:
    message = "\n".join(lines({"spy": True}, detach=False))

    assert "`contender run` in another terminal or cron takes in tomorrow's data." in message
    assert "Stop with Ctrl-C" in message


def test_detached_it_is_the_next_command() -> None:
    message = "\n".join(lines({"spy": True}))

    assert "`contender run` tomorrow takes in tomorrow's data." in message
    assert "contender down" in message


def test_in_a_demonstration_the_box_says_which_day_it_is_and_how_to_stop() -> None:
    message = "\n".join(_lines(URLS, {"spy": True}, TOKEN, detach=False, today=date(2005, 1, 3)))

    assert message.startswith("[bold]It is 2005-01-03[/bold] here; the days pass by themselves.")
    assert "Stop with Ctrl-C" in message
    assert "contender run" not in message  # it would take in the machine's today


def test_links_lead_to_mlflows_training_view_and_only_to_models_that_exist() -> None:
    message = lines({"airline": True, "new": False, "spy": True})

    assert [line.strip() for line in message if "/#/" in line] == [
        f"{MLFLOW}/#/models/airline?workflowType=machine_learning",
        f"{MLFLOW}/#/models/spy?workflowType=machine_learning",
        f"{MLFLOW}/#/experiments?workflowType=machine_learning",
    ]


def test_without_spy_the_command_asks_a_task_that_is_there() -> None:
    assert "  curl http://127.0.0.1:8000/tasks/airline/prediction" in lines({"airline": True})


def test_without_any_task_of_a_source_there_is_the_learning_to_try() -> None:
    message = lines({})

    assert "  curl -s 127.0.0.1:8002/next" in message
    assert not [line for line in message if "prediction" in line]


def test_the_box_says_where_the_admin_token_is_kept_if_it_made_one() -> None:
    assert [line for line in lines({"spy": True}) if line.endswith(f"kept in {TOKEN}")]
    assert not [line for line in lines({"spy": True}, token=None) if "token" in line]


def test_every_line_fits_a_terminal_of_80_columns() -> None:
    for line in lines({"airline": True, "spy": True}, detach=False):
        assert len(line.replace("[bold]", "").replace("[/bold]", "")) <= 76, line


def test_an_alert_is_reported_with_what_to_do() -> None:
    alert = {"alert": "champion_lost", "problem": "It [1] is gone.", "remedy": "Roll back."}

    assert alarms({"alerts": [alert]}) == ["[bold red]champion_lost[/bold red] It [1] is gone.\nRoll back."]
    assert alarms({"alerts": []}) == []
