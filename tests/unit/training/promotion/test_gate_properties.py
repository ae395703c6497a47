"""Whether the gate can be trusted: a broken one would be noticed, and a sound one errs no more often than it may."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.training.boards import GATE, Case, board, coins, decide, of_two
from training.evaluation import e_values
from training.evaluation.e_values import Evidence, Metric
from training.evaluation.scoreboard import Scoreboard, Track
from training.promotion import comparisons
from training.promotion.gate import Verdict

Decide = Callable[[Case], Verdict]


def faults(decide: Decide) -> set[str]:
    """What is wrong with a gate, by three questions whose answers are known (B1)."""
    labels, p = coins(1)
    informed, ignorant = p, np.full_like(p, 0.5)
    found = set()
    better = decide(of_two(board(labels, champion=ignorant, challenger=informed)))
    if (better.outcome, better.reason, better.champion) != ("PROMOTE", "succession", "challenger"):
        found.add("a better challenger is not promoted")
    worse = decide(of_two(board(labels, champion=informed, challenger=ignorant)))
    if (worse.outcome, worse.champion) != ("HOLD", "champion"):
        found.add("a worse challenger is promoted")
    same = decide(of_two(board(labels, champion=informed, challenger=informed.copy())))
    if (same.outcome, same.reason) != ("HOLD", "identical"):
        found.add("a model compared with itself is not noticed")
    return found


def test_the_gate_promotes_the_better_holds_the_worse_and_notices_the_same() -> None:
    assert faults(decide) == set()


def test_a_gate_with_an_inverted_metric_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons, "loss", lambda metric, labels, values: -e_values.loss(metric, labels, values))

    assert faults(decide) == {"a better challenger is not promoted", "a worse challenger is promoted"}


def test_a_gate_with_swapped_arguments_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no worse challenger is promoted by it: the mean loss must agree with the evidence."""
    after = Evidence.after
    monkeypatch.setattr(Evidence, "after", lambda self, differences, bounds: after(self, -differences, bounds))

    assert faults(decide) == {"a better challenger is not promoted"}


def test_a_gate_that_takes_champion_and_challenger_for_each_other_is_caught() -> None:
    def swapped(case: Case) -> Verdict:
        names = {"champion": "challenger", "challenger": "champion"}
        tracks = {names[name]: track for name, track in case.board.tracks.items()}
        return decide(replace(case, board=replace(case.board, tracks=tracks)))

    assert faults(swapped) == {"a better challenger is not promoted", "a worse challenger is promoted"}


def test_a_gate_that_compares_a_model_with_itself_is_caught() -> None:
    def compares_with_itself(case: Case) -> Verdict:
        tracks = dict.fromkeys(case.board.tracks, case.board.tracks["champion"])
        return decide(Case(Scoreboard(case.board.target_dates, case.board.labels, tracks), "brier", GATE, "champion"))

    assert faults(compares_with_itself) == {"a better challenger is not promoted"}


def test_equal_forecasters_watched_every_day_for_a_year_rarely_change_places() -> None:
    """A small A/A check; autocorrelated differences (0.3) included."""
    random = np.random.default_rng(13)
    successions = 0
    for _ in range(200):
        shocks = random.normal(size=253)
        drift = np.zeros(253)
        for day in range(1, 253):
            drift[day] = 0.3 * drift[day - 1] + shocks[day]
        labels = np.zeros(253)
        one, other = 10 + drift, 10 - drift
        case = of_two(board(labels, champion=one, challenger=other), metric="mae")
        ever = [
            decide(Case(_head(case.board, day), "mae", GATE, "champion")).reason == "succession"
            for day in range(60, 253, 20)
        ]
        successions += any(ever)

    assert successions <= 0.05 * 200 + 2 * (200 * 0.05 * 0.95) ** 0.5


def capital(differences: np.ndarray, bounds: np.ndarray, block: int) -> float:
    return Evidence(block).after(differences, bounds).e_value


def _head(b: Scoreboard, n: int) -> Scoreboard:
    tracks = {name: Track(t.values[:n], t.trained_through[:n]) for name, t in b.tracks.items()}
    return Scoreboard(b.target_dates[:n], b.labels[:n], tracks)


probabilities = st.lists(st.floats(0, 1), min_size=60, max_size=80)


@given(st.data())
def test_two_contenders_cannot_both_be_better(data: st.DataObject) -> None:
    p = np.array(data.draw(probabilities))
    q = np.array(data.draw(st.lists(st.floats(0, 1), min_size=len(p), max_size=len(p))))
    labels = np.array(data.draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=len(p), max_size=len(p))))

    one, other = (decide(of_two(board(labels, p=p, q=q), champion=name)) for name in ("p", "q"))

    (left,), (right,) = one.comparisons, other.comparisons
    assert (left.champion_loss, left.challenger_loss) == (right.challenger_loss, right.champion_loss)
    assert (left.rows, left.rows_hash) == (right.rows, right.rows_hash)
    assert min(left.e_value, right.e_value) < 1 / GATE.alpha
    assert not (one.reason == other.reason == "succession")


@given(probabilities, st.sampled_from(["brier", "mae"]))
def test_a_model_against_itself_is_identical_and_holds(values: list[float], metric: Metric) -> None:
    p = np.array(values)

    verdict = decide(of_two(board(np.round(p), champion=p, challenger=p.copy()), metric=metric))

    assert (verdict.outcome, verdict.reason) == ("HOLD", "identical")
    assert verdict.comparisons[0].e_value == 1


@given(st.lists(st.floats(-1, 1), max_size=40), st.integers(1, 7))
def test_evidence_is_never_negative_and_nothing_is_won_on_zero(differences: list[float], block: int) -> None:
    d = np.array(differences)

    assert capital(d, np.ones(len(d)), block) >= 0
    assert capital(np.zeros(len(d)), np.ones(len(d)), block) == 1


@given(st.lists(st.floats(-100, 100).map(lambda one: round(one, 6)), min_size=10, max_size=40), st.floats(0.01, 100))
def test_evidence_does_not_depend_on_the_unit_of_the_loss(differences: list[float], unit: float) -> None:
    d = np.array(differences)

    assert capital(d * unit, np.abs(d) * unit, 1) == pytest.approx(capital(d, np.abs(d), 1))


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from([0.0, 1.0]))
def test_the_bound_holds_before_the_label_is_known(p: float, q: float, label: float) -> None:
    one, other, y = np.array([p]), np.array([q]), np.array([label])

    for metric in ("brier", "mae"):
        difference = e_values.loss(metric, y, one) - e_values.loss(metric, y, other)
        assert np.abs(difference) <= e_values.bound(metric, one, other) + 1e-12
