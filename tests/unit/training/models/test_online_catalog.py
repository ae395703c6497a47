"""One list of behaviours, run against every procedure that learns online."""

import math
import pickle
import subprocess
import sys
from functools import cache

import pytest

from core.config.tasks import Parameter
from core.errors import ConfigurationError
from tests.support.paths import REPOSITORY
from tests.support.training import streams
from tests.support.training.streams import Rows
from training.models.online import Online, TargetKind
from training.models.online_catalog import ONLINE, declared

VALUES = [name for name, procedure in ONLINE.items() if procedure.outcome == "value"]
LINEAR = ["linear_regression", "ridge_regression", "lasso_regression"]
SERIES = ["holt_winters", "snarimax"]
HARD = ["rising", "constant", "empty", "exponential", "any size", "wide", "new names", "season of nothing"]

every = pytest.mark.parametrize("name", ONLINE)
on_hard_streams = pytest.mark.parametrize("stream", HARD)


def fresh(name: str, seed: int = 7, **parameters: Parameter) -> Online:
    outcome = ONLINE[name].outcome
    return declared(name, parameters, outcome).online(outcome, seed)


def rows_for(name: str, rows: Rows) -> Rows:
    return streams.halves(rows, is_binary=ONLINE[name].outcome == "binary")


def run(model: Online, rows: Rows) -> list[float | None]:
    """What is said of each row before it is learned."""
    said = []
    for features, target in rows:
        said.append(model.predict(features, "a"))
        model.learn(features, target, "a")
    return said


def mean_error(said: list[float | None], rows: Rows) -> float:
    errors = [abs(value - target) for value, (_, target) in zip(said, rows, strict=True) if value is not None]
    return sum(errors) / len(errors)


@cache
def learned(name: str) -> bytes:
    """A model that has learned 300 patchy rows."""
    model = fresh(name)
    run(model, rows_for(name, streams.patchy(300)))
    return pickle.dumps(model, 5)


@every
def test_it_says_nothing_before_it_has_learned(name: str) -> None:
    model = fresh(name)

    assert model.predict({"in_1": 1.0}, "a") is None
    assert model.predict({}, "a") is None
    assert model.forecast({"in_1": 1.0}, "a", 3) == [None, None, None]


@every
def test_rows_may_lack_features_bring_new_ones_or_have_none(name: str) -> None:
    rows = rows_for(name, streams.patchy(400))

    said = run(fresh(name), rows)

    begun = [value for value in said if value is not None]
    assert said.count(None) <= {"holt_winters": 12, "snarimax": 13}.get(name, 1)
    assert said[-len(begun) :] == begun
    assert all(math.isfinite(value) for value in begun)


@every
@on_hard_streams
def test_no_stream_of_finite_numbers_makes_it_raise_or_run_away(name: str, stream: str) -> None:
    model = fresh(name)

    said = run(model, rows_for(name, streams.hard(stream)))

    assert said[-1] is not None
    assert all(value is None or math.isfinite(value) for value in said)
    assert len(pickle.dumps(model, 5)) < 32_000_000


@pytest.mark.parametrize("name", [*LINEAR, "decision_tree", "knn_regressor", *SERIES, "logistic_regression"])
def test_twenty_thousand_rows_later_it_still_predicts(name: str) -> None:
    rows = rows_for(name, streams.lines(20_000))

    said = run(fresh(name), rows)

    late = [value for value in said[-2_000:] if value is not None]
    assert len(late) == 2_000
    assert mean_error(said[-2_000:], rows[-2_000:]) < (0.5 if ONLINE[name].outcome == "binary" else 60)


@every
def test_a_model_that_was_pickled_goes_on_like_one_that_was_not(name: str) -> None:
    first, then = (rows_for(name, streams.patchy(700))[part] for part in (slice(0, 350), slice(350, 700)))
    straight, resumed = fresh(name), fresh(name)
    run(straight, first)
    run(resumed, first)

    resumed = pickle.loads(pickle.dumps(resumed, 5))

    assert run(resumed, then) == run(straight, then)


@every
def test_predicting_changes_nothing(name: str) -> None:
    model = pickle.loads(learned(name))
    before = pickle.dumps(model, 5)

    for features, _ in streams.patchy(30, seed=2):
        model.predict(features, "a")
        model.predict({**features, "never learned": 1.0}, "never seen")
        model.forecast(features, "a", 3)

    assert pickle.dumps(model, 5) == before


@every
def test_a_row_that_is_learned_is_not_kept_by_reference(name: str) -> None:
    careful, careless = pickle.loads(learned(name)), pickle.loads(learned(name))

    for features, target in rows_for(name, streams.patchy(50, seed=3)):
        careful.learn(dict(features), target, "a")
        careless.learn(features, target, "a")
        features.clear()

    asked = {"in_1": 250.0, "in_2": 350.0}
    assert careless.predict(asked, "a") == careful.predict(asked, "a")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [(name, {}) for name in ONLINE]
    + [(name, {"in_1": size}) for name in ONLINE if name not in SERIES for size in (1e150, math.inf, math.nan)],
)
def test_a_row_too_large_to_square_is_refused_and_leaves_no_trace(name: str, wrong: dict[str, float]) -> None:
    model = pickle.loads(learned(name))
    before = pickle.dumps(model, 5)

    with pytest.raises(ValueError, match="the row's numbers add up to"):
        model.learn(wrong, 1.0 if wrong else -1e150, "a")

    assert pickle.dumps(model, 5) == before


@every
def test_asked_about_absurd_numbers_it_answers_finitely_or_not_at_all(name: str) -> None:
    model = pickle.loads(learned(name))

    for size in (1e50, -1e150, 1.7e308):
        value = model.predict({"in_1": size, "in_2": -size}, "a")
        assert value is None or math.isfinite(value)


SAY = """
import hashlib, sys
from tests.unit.training.models.test_online_catalog import ONLINE, fresh, rows_for, run, streams
for name in ONLINE:
    print(name, hashlib.sha256(repr(run(fresh(name), rows_for(name, streams.patchy(300)))).encode()).hexdigest())
"""


def test_two_processes_that_hash_differently_say_the_same_to_the_bit() -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SAY],
            cwd=REPOSITORY,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]

    first, second = (process.communicate()[0].splitlines() for process in processes)

    assert first == second
    assert len(first) == len(ONLINE)


@pytest.mark.parametrize("name", ["bagging_regressor", "amf_regressor", "bagging_classifier"])
def test_what_is_left_to_chance_comes_from_the_seed(name: str) -> None:
    rows = rows_for(name, streams.lines(300))

    assert run(fresh(name, seed=1), rows) == run(fresh(name, seed=1), rows)
    assert run(fresh(name, seed=1), rows) != run(fresh(name, seed=2), rows)


@pytest.mark.parametrize("name", [name for name in VALUES if name not in SERIES])
def test_it_learns_a_line_better_than_saying_the_mean_always(name: str) -> None:
    rows = streams.lines(1_500)

    late = mean_error(run(fresh(name), rows)[500:], rows[500:])

    mean = sum(target for _, target in rows) / len(rows)
    assert late < 0.85 * mean_error([mean] * 1_000, rows[500:])
    assert late < (7 if name in LINEAR else 20)


@pytest.mark.parametrize("name", VALUES)
def test_it_follows_the_airline_passengers(name: str) -> None:
    rows = streams.passengers()

    said = run(fresh(name), rows)

    naive = mean_error([rows[max(0, i - 1)][1] for i in range(len(rows))], rows)
    reached = {"knn_regressor": 60, "amf_regressor": 60}.get(name, naive)
    assert mean_error(said, rows) < reached


@pytest.mark.parametrize("name", [name for name in ONLINE if name not in VALUES])
def test_a_classifier_tells_above_from_below(name: str) -> None:
    rows = rows_for(name, streams.lines(1_500))

    said = run(fresh(name), rows)

    right = [(value or 0) > 0.5 for value in said[500:]]
    assert sum(says == (target > 0.5) for says, (_, target) in zip(right, rows[500:], strict=True)) > 0.75 * 1_000
    assert all(value is None or 0 < value < 1 for value in said)


@every
def test_a_forecast_begins_with_the_prediction(name: str) -> None:
    model = pickle.loads(learned(name))
    features = {f"in_{lag}": 300.0 for lag in range(1, 13)}

    steps = model.forecast(features, "a", 4)

    assert len(steps) == 4
    assert steps[0] == model.predict(features, "a")
    assert None not in steps


@pytest.mark.parametrize(
    ("name", "parameters", "outcome", "wrong", "known"),
    [
        ("rigde_regression", {}, "value", "no online procedure 'rigde_regression'", "linear_regression, ridge_regr"),
        ("ridge_regression", {}, "binary", "ridge_regression predicts a value, not a binary", "logistic_regression"),
        ("gaussian_nb", {}, "value", "gaussian_nb predicts a binary, not a value", "linear_regression"),
        ("ridge_regression", {"l1": 0.1}, "value", "l1", "Known parameters: learning_rate, l2"),
        ("knn_regressor", {"window": 0}, "value", "window", "neighbours, window"),
        ("snarimax", {"p": 0, "q": 0, "d": 0, "sd": 0}, "value", "at least one of p, q", "learning_rate"),
    ],
)
def test_what_does_not_exist_or_fit_is_told_with_what_does(
    name: str, parameters: dict[str, Parameter], outcome: TargetKind, wrong: str, known: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        declared(name, parameters, outcome)

    assert wrong in caught.value.problem
    assert known in caught.value.remedy


def test_declaring_imports_no_river() -> None:
    program = (
        "import sys; from training.models.online_catalog import ONLINE, declared; "
        "[declared(name, {}, found.outcome) for name, found in ONLINE.items()]; "
        "sys.exit(', '.join({'river', 'sklearn', 'mlflow', 'scipy'} & set(sys.modules)) or 0)"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
