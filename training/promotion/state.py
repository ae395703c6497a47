"""What a decision leaves to the next one, as it is written down: what is known of each pair, and the ranking."""

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from training.ledger.decisions import Decision
from training.promotion.comparisons import Pair
from training.promotion.gate import GateState, Meeting
from training.promotion.ranking import Ranking
from training.promotion.reign import is_fixed


def plain(carried: GateState, identities: Mapping[str, str], standing: Collection[str]) -> dict[str, Any]:
    """As JSON knows it, to the bit; `left_by` is the way back.

    `identities`: what each name stands for; `standing`: who is ranked.
    """
    return {
        "identities": dict(identities),
        "ranked": sorted(standing),
        "ranking": None if carried.ranking is None else carried.ranking.plain(),
        "pairs": [
            {"champion": champion, "challenger": challenger, "pair": pair.plain()}
            for (champion, challenger, _), pair in carried.pairs.items()
        ],
    }


def left_by(
    last: Decision | None,
    stands_on: str,
    identities: Mapping[str, str],
    standing: Collection[str],
    reign: tuple[str | None, date | None],
) -> GateState:
    """What the last decision left, as far as it stood on the same, and its contenders are who they were.

    `reign`: the champion, and since when. A ranking without one of those who stand, who had predicted too little, is
    made anew. Who stood in it under another declaration keeps its place under another name, until it is declared so
    again: it has used of alpha.
    """
    if last is None:
        return GateState()
    left, is_same = last.evidence["carried"], last.evidence["stands_on"] == stands_on
    known = {name for name, identity in left["identities"].items() if identities.get(name) == identity}
    pairs: dict[Meeting, Pair] = {}
    for one in left["pairs"]:
        pair, before = Pair.of_plain(one["pair"]), left["identities"]
        champion, challenger = (_named(one[side], before, identities) for side in ("champion", "challenger"))
        stood = (champion, pair.since) == reign and not (challenger in identities or is_fixed(challenger))
        if champion in identities and (stood or (is_same and challenger in identities)):
            pairs[champion, challenger, pair.since] = pair
    ranking = None if left["ranking"] is None else Ranking.of_plain(left["ranking"])
    is_whole = ranking is not None and set(ranking.losses or ()) == set(standing) and set(standing) <= known
    return GateState(pairs, ranking if is_whole and is_same else None)


def _named(name: str, before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """What somebody is called now: a name goes with a declaration, and another declaration has its hash behind it."""
    if is_fixed(name) or (name in before and now.get(name) == before[name]):
        return name
    contender, _, declaration = name.partition("@")
    declaration = before.get(name, declaration)
    return contender if now.get(contender) == declaration else f"{contender}@{declaration}"
