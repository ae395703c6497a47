"""What the gate keeps from session to session: however the rows come, the same is decided."""

import json
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import convert, to_builtins

from core.config.tasks import Gate
from tests.support.training.boards import GATE, Case, coins, days, decide, track
from training.evaluation.scoreboard import Scoreboard, Track
from training.promotion.comparisons import Pair, Ranking
from training.promotion.state import GateState, Probation

ROWS = 180


def tracks(seed: int) -> tuple[np.ndarray, dict[str, Track]]:
    """Labels, and contenders of whom some are silent now and then and one has leaked once."""
    random = np.random.default_rng(seed)
    labels, p = coins(seed, ROWS)
    predicted = {
        "base": np.full(ROWS, 0.5),
        "better": np.clip(0.5 + (p - 0.5) * random.uniform(0, 1), 0, 1),
        "noisy": random.uniform(0.3, 0.7, ROWS),
        "old": np.where(np.arange(ROWS) < 90, np.nan, 0.5 + (0.5 - p) / 4),
    }
    for values in predicted.values():
        values[random.uniform(size=ROWS) < 0.05] = np.nan
    return labels, {name: track(values) for name, values in predicted.items()}


def piece(labels: np.ndarray, all_tracks: dict[str, Track], begin: int, end: int) -> Scoreboard:
    of = {name: Track(one.values[begin:end], one.trained_through[begin:end]) for name, one in all_tracks.items()}
    return Scoreboard(days(ROWS)[begin:end], labels[begin:end], of)


@given(st.integers(0, 50), st.lists(st.integers(0, ROWS), max_size=6), st.integers(1, 8), st.integers(-1, 100))
@settings(deadline=None, max_examples=60)
def test_rows_in_pieces_decide_as_the_whole_does_to_the_bit(
    seed: int, cuts: list[int], block: int, promoted_at: int
) -> None:
    labels, contenders = tracks(seed)
    since = None if promoted_at < 0 else days(ROWS)[promoted_at].item()
    whole = Case(
        piece(labels, contenders, 0, ROWS), "brier", replace_block(block), "base", since, baseline="base",
        probation=Probation("old", since),
    )  # fmt: skip
    carried = decide(replace(whole, board=piece(labels, contenders, 0, min(cuts, default=ROWS)))).state

    for begin, end in zip(sorted(cuts), [*sorted(cuts), ROWS][1:], strict=False):
        first = max(begin - 9, 0) if is_whole(carried, contenders) else 0
        session = replace(whole, board=piece(labels, contenders, first, end), state=written_and_read(carried))
        carried = decide(session).state
    at_once = decide(whole)

    first = ROWS if is_whole(carried, contenders) else 0
    last = decide(replace(whole, board=piece(labels, contenders, first, ROWS), state=carried))
    assert last == replace(at_once, state=last.state)
    assert last.state == at_once.state


def replace_block(block: int) -> Gate:
    return GATE.model_copy(update={"block": block, "min_rows": 20})


def is_whole(carried: GateState, contenders: dict[str, Track]) -> bool:
    """Whether the ranking has everybody; else it is made anew, from the first row on."""
    return carried.ranking is not None and set(carried.ranking.losses or ()) == set(contenders)


def written_and_read(carried: GateState) -> GateState:
    """As it comes back from a decision in the database."""
    assert carried.ranking is not None
    pairs = {key: convert(json.loads(json.dumps(to_builtins(pair))), Pair) for key, pair in carried.pairs.items()}
    return GateState(pairs, convert(json.loads(json.dumps(to_builtins(carried.ranking))), Ranking))
