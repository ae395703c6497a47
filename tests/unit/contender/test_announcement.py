from contender.announcement import _lines

API, MLFLOW = "http://127.0.0.1:8000", "http://127.0.0.1:5000"


def test_in_the_foreground_tomorrow_belongs_to_another_terminal() -> None:
    said = "\n".join(_lines(API, MLFLOW, {"spy": True}, detach=False))

    assert "`contender run` in another terminal or cron takes in tomorrow's data." in said
    assert "Stop with Ctrl-C" in said


def test_detached_it_is_the_next_command() -> None:
    said = "\n".join(_lines(API, MLFLOW, {"spy": True}, detach=True))

    assert "`contender run` tomorrow takes in tomorrow's data." in said
    assert "contender down" in said


def test_links_lead_to_mlflows_training_view_and_only_to_models_that_exist() -> None:
    said = _lines(API, MLFLOW, {"airline": True, "new": False, "spy": True}, detach=True)

    assert [line.strip() for line in said if "/#/" in line] == [
        f"{MLFLOW}/#/models/airline?workflowType=machine_learning",
        f"{MLFLOW}/#/models/spy?workflowType=machine_learning",
        f"{MLFLOW}/#/experiments?workflowType=machine_learning",
    ]


def test_without_spy_the_command_asks_a_task_that_is_there() -> None:
    assert f"  curl {API}/tasks/airline/prediction" in _lines(API, MLFLOW, {"airline": True}, detach=True)


def test_every_line_fits_a_terminal_of_80_columns() -> None:
    tasks = {"airline": True, "spy": True}

    for line in _lines(API, MLFLOW, tasks, detach=False):
        assert len(line.replace("[bold]", "").replace("[/bold]", "")) <= 76, line
