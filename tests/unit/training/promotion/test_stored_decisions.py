"""Decisions that an earlier release stored are made again to the byte.

`stored_decisions.json.gz` was written by commit 73b7305: scoreboards, and on each of them a sequence of decisions as
their `decision.json` files, every outcome among them. Never write it again with newer code: it is what proves that the
stored form has not changed.
"""

import decimal
import gzip
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.evaluation.scoreboard import Scoreboard, Track
from training.ledger.decisions import Decision
from training.promotion import record
from training.promotion.gate import decide
from training.promotion.inputs import GateInput
from training.reports import decision_json

SEQUENCES = json.loads(gzip.decompress((Path(__file__).parent / "stored_decisions.json.gz").read_bytes()))


def scoreboard(stored: dict[str, Any]) -> Scoreboard:
    """The rows of a sequence. `learned`: days from the newest label that a model had learned to the date predicted."""
    count = len(stored["labels"])
    days = np.datetime64(stored["first"]) + np.arange(count)

    def track(values: list[float | None], learned: int | list[int | None]) -> Track:
        offsets = learned if isinstance(learned, list) else [learned] * count
        through = [np.datetime64("NaT") if d is None else day + d for d, day in zip(offsets, days, strict=True)]
        return Track(np.array(values, dtype=np.float64), np.array(through, dtype="datetime64[D]"))

    return Scoreboard(
        days, np.array(stored["labels"]), {name: track(**one) for name, one in sorted(stored["tracks"].items())}
    )


def from_postgres(content: str) -> Decision:
    """The decision as `jsonb` gives it back: numbers without exponents, keys by length."""

    def number(text: str) -> float | int:
        written = format(decimal.Decimal(text), "f")
        return float(written) if "." in written else int(written)

    def ordered(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(sorted(pairs, key=lambda pair: (len(pair[0]), pair[0])))

    plain = json.loads(content, parse_float=number, object_pairs_hook=ordered)
    del plain["evidence_hash"]
    return Decision(**{**plain, "session_date": date.fromisoformat(plain["session_date"])})


def made_again(kept: Decision, last: Decision | None, rows: Scoreboard) -> Decision:
    given = GateInput.of(kept)
    return record.decision(given, decide(given, given.rows(rows), given.state_after(last)))


@pytest.mark.parametrize("place", range(len(SEQUENCES)))
def test_decisions_of_an_earlier_release_are_made_again_to_the_byte(place: int) -> None:
    rows = scoreboard(SEQUENCES[place]["board"])
    last: Decision | None = None
    for content in SEQUENCES[place]["decisions"]:
        kept = from_postgres(content)

        assert decision_json.content(made_again(kept, last, rows)).decode() == content

        last = kept


def test_every_outcome_and_nearly_every_reason_is_among_them() -> None:
    decisions = [from_postgres(content) for one in SEQUENCES for content in one["decisions"]]
    reasons = {(one.outcome, one.reason) for one in decisions}

    assert len(decisions) > 60
    assert {
        ("BOOTSTRAP", "best_backtest"),
        ("PROMOTE", "succession"),
        ("PROMOTE", "refresh"),
        ("PROMOTE", "guard"),
        ("REJECT", "harm"),
        ("REJECT", "not_finite"),
        *(
            ("HOLD", reason)
            for reason in ("pinned", "champion_lost", "champion_unscorable", "stale", "no_challenger", "identical",
                           "challenger_unscorable", "overlap", "too_few_rows", "within_margin", "not_enough_evidence")
        ),
    } <= reasons  # fmt: skip
    assert any(one.evidence["given"]["fixed"] for one in decisions)


def test_a_changed_prediction_changes_the_bytes() -> None:
    stored = SEQUENCES[0]
    rows = scoreboard(stored["board"])
    kept, last = (from_postgres(content) for content in (stored["decisions"][2], stored["decisions"][1]))
    track = rows.tracks["forest"]
    changed = replace(rows, tracks={**rows.tracks, "forest": Track(track.values + 1e-6, track.trained_through)})

    assert decision_json.content(made_again(kept, last, rows)).decode() == stored["decisions"][2]
    assert decision_json.content(made_again(kept, last, changed)).decode() != stored["decisions"][2]
