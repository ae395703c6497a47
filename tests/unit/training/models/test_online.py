"""What stands between River and the log: one learner for each series, doubt, and parts that do not run away."""

import pickle
import random
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from river import datasets, linear_model, naive_bayes, optim, preprocessing

from tests.support.training import streams
from training.models import online
from training.models.online import Classifier, PerSeries, Regressor
from training.models.online_catalog import declared
from training.models.river_ext import Bag, Scaler, SteadyRegression


def follower(**parameters: Any) -> PerSeries:
    made = declared("holt_winters", {"season": 3, **parameters}, "value").online("value", 7)
    assert isinstance(made, PerSeries)
    return made


def teach(model: PerSeries, series: str, *values: float) -> None:
    for value in values:
        model.learn({}, value, series)


def test_each_series_has_a_learner_of_its_own() -> None:
    together, alone = follower(), follower()
    for step in range(20):
        teach(together, "a", step % 3 + step)
        teach(together, "b", 500.0 - step)
        teach(alone, "a", step % 3 + step)

    assert together.forecast({}, "a", 5) == alone.forecast({}, "a", 5)
    assert together.predict({}, "b") == pytest.approx(480, abs=5)
    assert together.predict({}, "c") is None


def test_a_multiplicative_season_refuses_what_is_not_positive_and_goes_on() -> None:
    model = follower(multiplicative=True)
    teach(model, "a", 10.0, 20.0, 30.0, 11.0)
    before = pickle.dumps(model, 5)

    for wrong in (0.0, -1.0):
        with pytest.raises(ValueError, match=f"{wrong} is not positive"):
            model.learn({}, wrong, "a")

    assert pickle.dumps(model, 5) == before


def test_a_series_too_many_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online, "MOST_SERIES", 2)
    model = follower()
    teach(model, "a", 1.0)
    teach(model, "b", 1.0)

    with pytest.raises(ValueError, match="'c' would be one more than the 2 series"):
        teach(model, "c", 1.0)

    teach(model, "a", 2.0)
    assert model.values == {"a": 2, "b": 1}


class Broken:
    """Divides by the value it is given; forecasts without end when it was given 13."""

    said = 1.0

    def learn_one(self, value: float) -> None:
        self.said = float("inf") if value == 13 else 1 / value

    def forecast(self, horizon: int) -> list[float]:
        return [self.said] * horizon


def test_a_series_that_ran_away_begins_anew() -> None:
    model = PerSeries(Broken(), 1)
    teach(model, "a", 2.0)
    with pytest.raises(ZeroDivisionError):
        teach(model, "a", 0.0)
    assert model.predict({}, "a") is None

    teach(model, "a", *[4.0] * 99)
    assert model.predict({}, "a") == 0.25
    teach(model, "a", 13.0)
    assert model.values == {"a": 0}


def test_no_probability_is_surer_than_the_rows_allow() -> None:
    bayes, bold = Classifier(naive_bayes.GaussianNB()), naive_bayes.GaussianNB()
    losses = []
    for rows, (features, label) in enumerate(datasets.Phishing().take(300)):
        said, plain = bayes.predict(features, "a"), bold.predict_proba_one(features).get(True, 0.0)
        if said is not None:
            assert said == min(max(plain, 1 / (rows + 2)), 1 - 1 / (rows + 2))
            losses.append((1 - said if label else said, 1 - plain if label else plain))
        bayes.learn(features, float(label), "a")
        bold.learn_one(features, label)

    assert max(loss for loss, _ in losses) < 1
    assert max(loss for _, loss in losses) == pytest.approx(1, abs=1e-9)


def test_two_hundred_features_do_not_make_the_regression_run_away() -> None:
    chance = random.Random(3)
    steady: Any = Scaler() | preprocessing.TargetStandardScaler(SteadyRegression(optim.SGD(0.01)))
    rivers: Any = preprocessing.StandardScaler() | preprocessing.TargetStandardScaler(
        linear_model.LinearRegression(optim.SGD(0.01))
    )
    errors: dict[str, float] = {}
    for _ in range(400):
        features = {f"f{i}": chance.gauss(300, 50) for i in range(200)}
        target = features["f1"] + chance.gauss(0, 5)
        for name, model in {"steady": steady, "river's": rivers}.items():
            errors[name] = abs(model.predict_one(features) - target)
            model.learn_one(features, target)

    assert errors["steady"] < 100
    assert errors["river's"] > 10_000


def test_where_no_step_overshoots_the_steady_regression_is_rivers_to_the_bit() -> None:
    steady: Any = Scaler() | SteadyRegression(optim.SGD(0.001))
    rivers: Any = preprocessing.StandardScaler() | linear_model.LinearRegression(optim.SGD(0.001))
    for features, target in streams.patchy(500):
        assert steady.predict_one(features) == rivers.predict_one(features)
        steady.learn_one(features, target)
        rivers.learn_one(features, target)


def test_a_scaler_keeps_nothing_of_what_it_is_asked() -> None:
    scaler = Scaler()
    scaler.learn_one({"a": 1.0})
    scaler.learn_one({"a": 3.0})

    assert scaler.transform_one({"a": 4.0, "b": 9.0}) == {"a": 2.0, "b": 0.0}
    assert list(scaler.moments) == ["a"]


def test_every_member_of_a_bag_learns_the_first_row() -> None:
    bag = Bag(preprocessing.TargetStandardScaler(linear_model.LinearRegression()), 10, 7)

    bag.learn_one({"a": 1.0}, 300.0)

    assert [member.predict_one({"a": 1.0}) for member in bag] == [300.0] * 10


MINI_BATCHED: dict[str, Callable[[], Any]] = {
    "linear": lambda: preprocessing.StandardScaler() | linear_model.LinearRegression(),
    "logistic": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "naive Bayes": lambda: preprocessing.StandardScaler() | naive_bayes.GaussianNB(),
}


@pytest.mark.parametrize("name", MINI_BATCHED)
def test_learn_many_leaves_another_model_than_learn_one(name: str) -> None:
    """Should a River version come where it does not, `learn_many` may be looked at again."""
    rows = streams.halves(streams.lines(300), is_binary=name != "linear")
    one, many = MINI_BATCHED[name](), MINI_BATCHED[name]()

    for features, target in rows:
        one.learn_one(features, target if name == "linear" else bool(target))
    for i in range(0, 300, 10):
        features, targets = zip(*rows[i : i + 10], strict=True)
        labels = pd.Series(targets) if name == "linear" else pd.Series(targets).astype(bool)
        many.learn_many(pd.DataFrame(list(features)), labels)

    ask = Regressor.predict if name == "linear" else Classifier.predict
    kept = {"one": one, "many": many}
    said = {}
    for which, model in kept.items():
        asked = Regressor(model) if name == "linear" else Classifier(model)
        asked.rows = 300
        said[which] = [ask(asked, features, "a") for features, _ in rows]  # type: ignore[arg-type]
    gaps = [abs(a - b) for a, b in zip(said["one"], said["many"], strict=True) if a is not None and b is not None]
    assert max(gaps) > 1e-3
