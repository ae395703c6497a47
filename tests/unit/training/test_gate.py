"""The gate is judged by what it does with losses whose truth is known, and by whether a broken one would be noticed."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.tasks import Gate
from training import evidence, gate
from training.evidence import Metric
from training.gate import Board, Case, Track, Verdict, decide

FIRST = np.datetime64("2020-01-01")
GATE = Gate(alpha=0.05, block=5, min_rows=60)
Decide = Callable[[Case], Verdict]


def days(n: int) -> np.ndarray:
    return FIRST + np.arange(n).astype("timedelta64[D]")


def track(values: np.ndarray) -> Track:
    return Track(np.asarray(values, float), days(len(values)) - np.timedelta64(1, "D"))


def board(labels: np.ndarray, **values: np.ndarray) -> Board:
    return Board(days(len(labels)), np.asarray(labels, float), {name: track(v) for name, v in values.items()})


def coins(seed: int, n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and the probability that each of them is 1."""
    random = np.random.default_rng(seed)
    p = random.uniform(0.02, 0.98, n)
    return (random.uniform(size=n) < p).astype(float), p


def of_two(b: Board, champion: str = "champion", since: np.datetime64 | None = None, metric: Metric = "brier") -> Case:
    return Case(b, metric, GATE, champion, since)


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
    monkeypatch.setattr(gate, "loss", lambda metric, labels, values: -evidence.loss(metric, labels, values))

    assert faults(decide) == {"a better challenger is not promoted", "a worse challenger is promoted"}


def test_a_gate_with_swapped_arguments_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nobody worse is promoted by it: the mean loss must agree with the evidence."""
    monkeypatch.setattr(gate, "capital", lambda differences, *rest: evidence.capital(-differences, *rest))

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
        return decide(Case(Board(case.board.target_dates, case.board.labels, tracks), "brier", GATE, "champion"))

    assert faults(compares_with_itself) == {"a better challenger is not promoted"}


def test_the_first_champion_is_the_best_on_the_rows_that_all_predicted() -> None:
    labels, p = coins(2)
    late = np.where(np.arange(len(p)) < 100, np.nan, 0.5 + (p - 0.5) / 2)

    verdict = decide(Case(board(labels, base=np.full_like(p, 0.5), late=late, best=p), "brier", GATE, None))

    assert (verdict.outcome, verdict.reason) == ("BOOTSTRAP", "best_backtest")
    assert (verdict.champion, verdict.challenger) == ("best", "late")
    assert list(verdict.ranking) == ["best", "late", "base"]
    assert verdict.ranking["base"] == pytest.approx(0.25)


def test_a_contender_without_predictions_does_not_keep_the_others_from_the_title() -> None:
    labels, p = coins(3)

    verdict = decide(Case(board(labels, silent=np.full_like(p, np.nan), able=p), "brier", GATE, None))

    assert (verdict.outcome, verdict.champion, verdict.challenger) == ("BOOTSTRAP", "able", None)


def test_nobody_is_crowned_on_too_few_rows() -> None:
    labels, p = coins(4, n=59)

    verdict = decide(Case(board(labels, able=p), "brier", GATE, None))

    assert (verdict.outcome, verdict.reason, verdict.champion) == ("HOLD", "too_few_rows", None)


def test_rows_that_chose_the_champion_are_no_evidence_against_it() -> None:
    labels, p = coins(5)
    both = board(labels, champion=np.full_like(p, 0.5), challenger=p)

    verdict = decide(of_two(both, since=days(600)[560]))

    assert (verdict.outcome, verdict.reason) == ("HOLD", "too_few_rows")
    (comparison,) = verdict.comparisons
    assert (comparison.rows, comparison.first) == (39, str(days(600)[561]))


def test_a_row_whose_date_a_model_had_learned_is_an_overlap() -> None:
    labels, p = coins(6)
    leaking = Track(p, days(600))
    tracks = {"champion": track(np.full_like(p, 0.5)), "challenger": leaking}

    verdict = decide(of_two(Board(days(600), labels, tracks)))

    assert (verdict.outcome, verdict.reason) == ("HOLD", "overlap")


@pytest.mark.parametrize("tracks", [{"challenger"}, {"challenger", "champion"}])
def test_a_champion_that_cannot_be_scored_is_never_passed_over_in_silence(tracks: set[str]) -> None:
    labels, p = coins(7)
    values = {"challenger": p, "champion": np.full_like(p, np.nan)}
    case = Case(board(labels, **{name: values[name] for name in tracks}), "brier", GATE, "champion", refresh="sane")

    verdict = decide(case)

    assert (verdict.outcome, verdict.reason, verdict.champion) == ("HOLD", "champion_unscorable", "champion")


def test_a_pinned_champion_stays_whatever_the_evidence() -> None:
    labels, p = coins(8)
    case = Case(
        board(labels, champion=np.full_like(p, 0.5), challenger=p), "brier", GATE, "champion", None, True, "sane"
    )

    verdict = decide(case)

    assert (verdict.outcome, verdict.reason, verdict.champion) == ("HOLD", "pinned", "champion")
    assert verdict.comparisons[0].e_value > 1000


def test_where_a_person_took_the_champion_away_nobody_is_crowned() -> None:
    labels, p = coins(8)

    verdict = decide(Case(board(labels, challenger=p), "brier", GATE, None, pinned=True))

    assert (verdict.outcome, verdict.reason, verdict.champion) == ("HOLD", "pinned", None)


@pytest.mark.parametrize(
    ("state", "expected"), [("sane", ("PROMOTE", "refresh")), ("not_sane", ("REJECT", "refresh_not_sane"))]
)
def test_a_new_version_of_the_champion_is_a_refresh(state: str, expected: tuple[str, str]) -> None:
    labels, p = coins(9)
    case = Case(
        board(labels, champion=p, challenger=np.full_like(p, 0.5)),
        "brier",
        GATE,
        "champion",
        None,
        False,
        state,  # type: ignore[arg-type]
    )

    verdict = decide(case)

    assert (verdict.outcome, verdict.reason) == expected
    assert (verdict.champion, verdict.challenger) == ("champion", "challenger")


def test_alpha_is_shared_by_the_challengers() -> None:
    labels, p = coins(10, n=300)
    two = board(labels, champion=np.full_like(p, 0.5), challenger=p)
    e_value = decide(of_two(two)).comparisons[0].e_value
    assert e_value > 1 / GATE.alpha
    crowd = {f"other-{i}": np.full_like(p, 0.5) for i in range(int(e_value * GATE.alpha) + 1)}

    verdict = decide(of_two(board(labels, champion=np.full_like(p, 0.5), challenger=p, **crowd)))

    assert (verdict.outcome, verdict.reason, verdict.challenger) == ("HOLD", "not_enough_evidence", "challenger")


def test_absolute_errors_of_any_size_are_compared_without_a_known_bound() -> None:
    random = np.random.default_rng(11)
    truth = np.cumsum(random.normal(1, 10, 200)) + 1e4
    near, far = truth + random.normal(0, 5, 200), truth + random.normal(0, 9, 200)

    assert decide(of_two(board(truth, champion=far, challenger=near), metric="mae")).reason == "succession"
    assert decide(of_two(board(truth, champion=near, challenger=far), metric="mae")).outcome == "HOLD"


def test_who_beats_the_baseline_is_told_by_evidence() -> None:
    labels, p = coins(12)
    random = np.random.default_rng(0)
    base = np.full_like(p, 0.5)
    contenders = board(
        labels,
        base=base,
        better=p,
        worse=1 - p,
        alike=base + random.choice([-0.01, 0.01], len(p)),
    )

    answers = gate.beats_baseline(contenders, "brier", GATE, "base")

    assert answers == {"base": "no", "better": "yes", "worse": "no", "alike": "unproven"}


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


def _head(b: Board, n: int) -> Board:
    tracks = {name: Track(t.values[:n], t.trained_through[:n]) for name, t in b.tracks.items()}
    return Board(b.target_dates[:n], b.labels[:n], tracks)


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

    assert evidence.capital(d, np.ones(len(d)), block) >= 0
    assert evidence.capital(np.zeros(len(d)), np.ones(len(d)), block) == 1


@given(st.lists(st.floats(-100, 100), min_size=10, max_size=40), st.floats(0.01, 100))
def test_evidence_does_not_depend_on_the_unit_of_the_loss(differences: list[float], unit: float) -> None:
    d = np.array(differences)

    assert evidence.capital(d * unit, np.abs(d) * unit, 1) == pytest.approx(evidence.capital(d, np.abs(d), 1))


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from([0.0, 1.0]))
def test_the_bound_holds_before_the_label_is_known(p: float, q: float, label: float) -> None:
    one, other, y = np.array([p]), np.array([q]), np.array([label])

    for metric in ("brier", "mae"):
        difference = evidence.loss(metric, y, one) - evidence.loss(metric, y, other)
        assert np.abs(difference) <= evidence.bound(metric, one, other) + 1e-12
