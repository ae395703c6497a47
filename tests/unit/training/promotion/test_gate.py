"""What the gate decides on losses whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from core.config.tasks import Gate
from tests.support.training.boards import GATE, Case, board, coins, days, decide, of_two, track
from training.evaluation.scoreboard import Scoreboard, Track
from training.promotion.state import GateState, Probation


def test_the_first_champion_is_the_best_on_the_rows_that_all_predicted() -> None:
    labels, p = coins(2)
    late = np.where(np.arange(len(p)) < 100, np.nan, 0.5 + (p - 0.5) / 2)

    verdict = decide(Case(board(labels, base=np.full_like(p, 0.5), late=late, best=p), "brier", GATE, None))

    assert (verdict.outcome, verdict.reason) == ("BOOTSTRAP", "best_backtest")
    assert (verdict.champion, verdict.challenger) == ("best", "late")
    assert list(verdict.ranking) == ["best", "late", "base"]
    assert verdict.ranking["base"] == pytest.approx(0.25)


def test_a_contender_without_predictions_does_not_keep_the_others_from_being_champion() -> None:
    labels, p = coins(3)

    verdict = decide(Case(board(labels, silent=np.full_like(p, np.nan), able=p), "brier", GATE, None))

    assert (verdict.outcome, verdict.champion, verdict.challenger) == ("BOOTSTRAP", "able", None)


def test_no_champion_is_chosen_on_too_few_rows() -> None:
    labels, p = coins(4, n=59)

    verdict = decide(Case(board(labels, able=p), "brier", GATE, None))

    assert (verdict.outcome, verdict.reason, verdict.champion) == ("HOLD", "too_few_rows", None)


def test_rows_that_chose_the_champion_are_no_evidence_against_it() -> None:
    labels, p = coins(5)
    both = board(labels, champion=np.full_like(p, 0.5), challenger=p)

    verdict = decide(of_two(both, since=days(600)[560].item()))

    assert (verdict.outcome, verdict.reason) == ("HOLD", "too_few_rows")
    (comparison,) = verdict.comparisons
    assert (comparison.rows, comparison.first) == (39, days(600)[561].item())


def test_a_row_whose_date_a_model_had_learned_is_an_overlap() -> None:
    labels, p = coins(6)
    leaking = Track(p, days(600))
    tracks = {"champion": track(np.full_like(p, 0.5)), "challenger": leaking}

    verdict = decide(of_two(Scoreboard(days(600), labels, tracks)))

    assert (verdict.outcome, verdict.reason) == ("HOLD", "overlap")


@pytest.mark.parametrize("tracks", [{"challenger"}, {"challenger", "champion"}])
def test_a_champion_that_cannot_be_scored_is_never_passed_over_in_silence(tracks: set[str]) -> None:
    labels, p = coins(7)
    values = {"challenger": p, "champion": np.full_like(p, np.nan)}
    case = Case(board(labels, **{name: values[name] for name in tracks}), "brier", GATE, "champion", has_newer=True)

    verdict = decide(case)

    assert (verdict.outcome, verdict.reason, verdict.champion) == ("HOLD", "champion_unscorable", "champion")


@pytest.mark.parametrize(
    ("silent", "sessions", "expected"),
    [(60, 1, "champion_unscorable"), (60, 7, "champion_unscorable"), (59, 1, "identical"), (0, 1, "identical")],
)
def test_a_champion_that_has_fallen_silent_in_its_tenure_is_unscorable(
    silent: int, sessions: int, expected: str
) -> None:
    labels, p = coins(7)
    predicted = p.copy()
    predicted[len(p) - silent :] = np.nan
    whole = of_two(board(labels, challenger=p, champion=predicted))

    carried = GateState()
    for n in np.linspace(600 // sessions, 600, sessions).astype(int):
        verdict = decide(replace(whole, board=whole.board.until(days(600)[n - 1].item()), state=carried))
        carried = verdict.state

    assert (verdict.outcome, verdict.reason) == ("HOLD", expected)


def test_a_pinned_champion_stays_whatever_the_evidence() -> None:
    labels, p = coins(8)
    case = Case(
        board(labels, champion=np.full_like(p, 0.5), challenger=p),
        "brier",
        GATE,
        "champion",
        pinned=True,
        has_newer=True,
    )

    verdict = decide(case)

    assert (verdict.outcome, verdict.reason, verdict.champion) == ("HOLD", "pinned", "champion")
    assert verdict.comparisons[0].e_value > 1000


def test_where_a_person_took_the_champion_away_none_is_chosen() -> None:
    labels, p = coins(8)

    verdict = decide(Case(board(labels, challenger=p), "brier", GATE, None, pinned=True))

    assert (verdict.outcome, verdict.reason, verdict.champion) == ("HOLD", "pinned", None)


@pytest.mark.parametrize(
    ("harm", "failed", "expected"),
    [
        (1.0, {}, ("PROMOTE", "refresh")),
        (19.9, {}, ("PROMOTE", "refresh")),
        (20.0, {}, ("REJECT", "harm")),
        (1.0, {"champion": "constant"}, ("REJECT", "constant")),
    ],
)
def test_a_new_version_of_the_champion_is_a_refresh_unless_it_harms_or_cannot_be_served(
    harm: float, failed: dict[str, str], expected: tuple[str, str]
) -> None:
    labels, p = coins(9)
    both = board(labels, champion=p, challenger=np.full_like(p, 0.5))

    verdict = decide(Case(both, "brier", GATE, "champion", has_newer=True, harm=harm, failed=failed))

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

    verdict = decide(Case(contenders, "brier", GATE, None, baseline="base"))

    assert verdict.beats_baseline == {"base": "no", "better": "yes", "worse": "no", "alike": "unproven"}


def test_the_previous_champion_needs_no_more_than_one_over_alpha_to_return_while_its_probation_lasts() -> None:
    labels, p = coins(13, n=200)
    crowd = {f"other-{i}": np.full_like(p, 0.5) + (i + 1) / 1000 for i in range(8)}
    both = board(labels, champion=np.full_like(p, 0.5), before=0.5 + (p - 0.5) / 10, **crowd)
    case = Case(both, "brier", GATE, "champion")
    needed = next(n for n in range(1, 200) if _e_value(case, n, "before") >= 20)
    assert needed < GATE.probation
    assert decide(_rows(case, needed)).outcome == "HOLD"

    watched = replace(_rows(case, needed), probation=Probation("before", None))
    over = replace(watched, gate=GATE.model_copy(update={"probation": needed - 1}))

    assert (decide(watched).outcome, decide(watched).reason) == ("PROMOTE", "guard")
    assert (decide(watched).champion, decide(watched).challenger) == ("before", "champion")
    assert decide(over).outcome == "HOLD"
    assert decide(replace(watched, pinned=True)).reason == "pinned"


def test_who_leaves_the_contest_has_used_its_share_of_alpha() -> None:
    labels, p = coins(10, n=300)
    poor = {f"poor-{i}": np.clip(1 - p, 0.4, 0.6) for i in range(9)}
    full = Case(board(labels, champion=np.full_like(p, 0.5), challenger=p, **poor), "brier", GATE, "champion")
    alone = replace(full, eligible=frozenset({"champion", "challenger"}))
    left = replace(alone, state=decide(_rows(full, 295)).state)

    (fresh,), (late,) = decide(alone).comparisons, decide(left).comparisons

    assert fresh.shared == fresh.e_value == late.e_value
    assert late.shared < late.e_value / 5


def test_by_the_rule_of_a_margin_a_smaller_mean_loss_is_enough() -> None:
    labels, p = coins(19, n=60)
    margin = Gate(rule="margin", margin=0.001, min_rows=60)
    little = board(labels, champion=np.full_like(p, 0.5), challenger=0.5 + (p - 0.5) / 1000)
    much = board(labels, champion=np.full_like(p, 0.5), challenger=0.5 + (p - 0.5) / 10)

    assert decide(Case(little, "brier", margin, "champion")).reason == "within_margin"
    assert decide(Case(much, "brier", margin, "champion")).reason == "succession"
    assert decide(Case(much, "brier", GATE, "champion")).reason == "not_enough_evidence"


def test_on_labels_that_are_too_old_no_alias_moves() -> None:
    labels, p = coins(15)
    gate = GATE.model_copy(update={"max_staleness": 5})
    case = Case(board(labels, champion=np.full_like(p, 0.5), challenger=p), "brier", gate, "champion")

    assert decide(replace(case, age_days=5)).reason == "succession"
    assert (decide(replace(case, age_days=6)).outcome, decide(replace(case, age_days=6)).reason) == ("HOLD", "stale")


def test_a_challenger_whose_model_is_not_what_it_was_is_rejected() -> None:
    labels, p = coins(16)
    case = of_two(board(labels, champion=np.full_like(p, 0.5), challenger=p))

    verdict = decide(replace(case, failed={"challenger": "golden_batch"}))

    assert (verdict.outcome, verdict.reason, verdict.champion) == ("REJECT", "golden_batch", "champion")


def test_one_forecast_that_explodes_does_not_silence_the_evidence_for_years() -> None:
    random = np.random.default_rng(17)
    truth = random.normal(0, 1, 400)
    near, far = truth + random.normal(0, 0.5, 400), truth + random.normal(0, 1.0, 400)
    burst = np.where(np.arange(400) == 30, 1e9, far)

    calm, after = (decide(of_two(board(truth, champion=one, challenger=near), metric="mae")) for one in (far, burst))

    assert calm.reason == after.reason == "succession"


def test_one_whose_rows_do_not_count_does_not_keep_a_proven_challenger_out() -> None:
    labels, p = coins(18)
    honest = track(0.5 + (p - 0.5) * 0.8)
    tracks = {"champion": track(np.full_like(p, 0.5)), "leaking": Track(p, days(600)), "honest": honest}

    verdict = decide(Case(Scoreboard(days(600), labels, tracks), "brier", GATE, "champion"))

    assert (verdict.outcome, verdict.reason, verdict.champion) == ("PROMOTE", "succession", "honest")
    assert {one.challenger: one.reason for one in verdict.comparisons} == {"leaking": "overlap", "honest": "better"}


def _rows(case: Case, n: int) -> Case:
    of = {name: Track(one.values[:n], one.trained_through[:n]) for name, one in case.board.tracks.items()}
    return replace(case, board=Scoreboard(case.board.target_dates[:n], case.board.labels[:n], of))


def _e_value(case: Case, n: int, name: str) -> float:
    return next(one.e_value for one in decide(_rows(case, n)).comparisons if one.challenger == name)
