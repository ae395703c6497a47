"""What a decision was given is kept with it, to the bit, and read back as it was."""

import json
from dataclasses import replace
from datetime import date

import numpy as np
from msgspec import structs

from core.config.tasks import digest
from tests.support.training.decided import NAMED, contest, decided, given
from training.ledger.decisions import Decision
from training.promotion import record
from training.promotion.gate import decide
from training.promotion.inputs import FixedPredictions, GateInput
from training.promotion.state import Probation, Tenure

SINCE = Tenure(date(2020, 3, 1), previous=1, moved=date(2020, 4, 1), refused=(7, 8))


def as_stored(decision: Decision) -> Decision:
    """As Postgres gives it back: numbers without exponents, names in another order."""
    import decimal

    def number(text: str) -> float | int:
        written = format(decimal.Decimal(text), "f")
        return float(written) if "." in written else int(written)

    text = json.dumps(decision.evidence)
    return replace(decision, evidence=json.loads(text, parse_float=number))


def test_what_was_given_is_read_back_as_it_was() -> None:
    rows = contest(200, forest=0.1, logistic=0.3)
    fixed = FixedPredictions(date(2020, 2, 1), {"2020-07-17": 0.1 + 0.2, "2020-07-18": None})
    asked = given(
        rows, champion="forest", tenure=SINCE, newer_version=9, harm=2.3456789012345678,
        failed_validation={"logistic": "constant"}, probation=Probation("forest@v1", date(2020, 4, 1)),
        previous_contender="forest", fixed=fixed,
    )  # fmt: skip

    assert GateInput.of(as_stored(decided(rows, asked)[0])) == asked


def test_a_decision_is_what_the_database_will_give_back() -> None:
    rows = contest(200, forest=0.1, logistic=0.3)
    for size in (1.0, 1e15, 1e17, 1e300):
        large = replace(rows, labels=rows.labels * size)
        made, _ = decided(large, given(large, "mae", champion="forest", tenure=Tenure(date(2020, 3, 1))))

        assert as_stored(made).evidence == made.evidence
        assert digest(as_stored(made).evidence) == made.evidence_hash


def test_no_row_after_the_newest_that_was_given_counts() -> None:
    rows = contest(200, forest=0.1)
    asked = given(rows, through=date(2020, 1, 31))

    assert asked.rows(rows).target_dates[-1] == np.datetime64("2020-01-31")
    assert len(asked.rows(rows).labels) == 31
    assert len(structs.replace(asked, through=None).rows(rows).labels) == 0


def test_a_fixed_version_has_said_what_it_had_said() -> None:
    rows = contest(200, forest=0.1)
    fixed = FixedPredictions(date(2020, 2, 1), {"2020-07-17": 0.25, "2020-07-18": None})
    asked = given(rows, probation=Probation("forest@v1", date(2020, 7, 16)), fixed=fixed, previous_contender="forest")

    track = asked.rows(rows).track("forest@v1")

    assert track.values[-2] == 0.25
    assert np.isfinite(track.values).sum() == 1
    assert track.trained_through[-1] == np.datetime64("2020-02-01")


def test_made_again_from_what_was_kept_it_is_the_same_session_after_session() -> None:
    rows = contest(300, forest=0.1, logistic=0.4, amf=-0.2)
    last: Decision | None = None
    champion, tenure = None, Tenure(None)
    reasons = set()
    for session in range(100, 300, 7):
        asked = given(rows, champion=champion, tenure=tenure, through=rows.target_dates[session].item())
        asked = structs.replace(asked, serving=champion and {"contender": champion, "version": 1, **NAMED})
        made, _ = decided(rows, asked, asked.state_after(last))

        again = GateInput.of(as_stored(made))
        state = again.state_after(last and as_stored(last))
        assert record.decision(again, decide(again, again.rows(rows), state)) == made

        last, champion, tenure = made, made.champion, Tenure.after(made)
        reasons.add(made.reason)
    assert reasons == {"best_backtest", "too_few_rows", "not_enough_evidence"}
