"""What a decision was given is kept with it, to the bit, and read back as it was."""

import json
from dataclasses import replace
from datetime import date

import numpy as np

from core.config.tasks import digest
from tests.support.training.decided import NAMED, contest, decided, given
from training.ledger.decisions import Decision
from training.promotion import record
from training.promotion import state as gate_state
from training.promotion.gate import Probation, decide
from training.promotion.inputs import Fixed, Given
from training.promotion.reign import Tenure

SINCE = Tenure(date(2020, 3, 1), before=1, moved=date(2020, 4, 1), refused=(7, 8))


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
    fixed = Fixed(date(2020, 2, 1), {"2020-07-17": 0.1 + 0.2, "2020-07-18": None})
    asked = given(
        rows, champion="forest", reign=SINCE, newer=9, harm=2.3456789012345678, unfit={"logistic": "constant"},
        probation=Probation("forest@v1", date(2020, 4, 1)), former="forest", fixed=fixed,
    )  # fmt: skip

    assert Given.of(as_stored(decided(rows, asked)[0])) == asked


def test_a_decision_is_what_the_database_will_give_back() -> None:
    rows = contest(200, forest=0.1, logistic=0.3)
    for size in (1.0, 1e15, 1e17, 1e300):
        large = replace(rows, labels=rows.labels * size)
        made, _ = decided(large, given(large, "mae", champion="forest", reign=Tenure(date(2020, 3, 1))))

        assert as_stored(made).evidence == made.evidence
        assert digest(as_stored(made).evidence) == made.evidence_hash


def test_no_row_after_the_newest_that_was_given_counts() -> None:
    rows = contest(200, forest=0.1)
    asked = given(rows, through=date(2020, 1, 31))

    assert asked.on(rows).target_dates[-1] == np.datetime64("2020-01-31")
    assert len(asked.on(rows).labels) == 31
    assert len(replace(asked, through=None).on(rows).labels) == 0


def test_a_fixed_version_has_said_what_it_had_said() -> None:
    rows = contest(200, forest=0.1)
    fixed = Fixed(date(2020, 2, 1), {"2020-07-17": 0.25, "2020-07-18": None})
    asked = given(rows, probation=Probation("forest@v1", date(2020, 7, 16)), fixed=fixed, former="forest")

    track = asked.on(rows).track("forest@v1")

    assert track.values[-2] == 0.25
    assert np.isfinite(track.values).sum() == 1
    assert track.trained_through[-1] == np.datetime64("2020-02-01")


def test_made_again_from_what_was_kept_it_is_the_same_night_after_night() -> None:
    rows = contest(300, forest=0.1, logistic=0.4, amf=-0.2)
    last: Decision | None = None
    champion, reign = None, Tenure(None)
    reasons = set()
    for night in range(100, 300, 7):
        asked = given(rows, champion=champion, reign=reign, through=rows.target_dates[night].item())
        asked = replace(asked, holder=champion and {"contender": champion, "version": 1, **NAMED})
        left = gate_state.left_by(last, asked.stands_on, asked.identities, asked.stands, (champion, reign.since))
        made, _ = decided(rows, asked, left)

        again = Given.of(as_stored(made))
        taken = gate_state.left_by(
            last and as_stored(last),
            again.stands_on,
            again.identities,
            again.stands,
            (again.champion, again.reign.since),
        )
        assert record.decision(again, decide(record.case(again, again.on(rows), taken))) == made

        last, champion, reign = made, made.champion, Tenure.of_plain(made.evidence["reign"])
        reasons.add(made.reason)
    assert reasons == {"best_backtest", "too_few_rows", "not_enough_evidence"}
