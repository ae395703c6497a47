"""What a decision leaves to the next one: the champion's tenure, what is known of each pair, and the ranking.

The stored JSON is older than some names here: `field(name=...)` says under which key an attribute is stored.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import date
from typing import Any

from msgspec import Struct, convert, field, to_builtins
from msgspec.structs import replace

from training.ledger.decisions import Decision
from training.promotion.comparisons import Pair, Ranking

PairKey = tuple[str, str, date | None]
"""Champion, challenger, and the date after which rows count."""

_FIXED = "@v"


def fixed_name(contender: str, version: int) -> str:
    """Name a single version that predicts the rows of its probation beside the contenders."""
    return f"{contender}{_FIXED}{version}"


def is_fixed(name: str) -> bool:
    """Tell whether a name is that of a single version: it is no challenger, and uses nothing of alpha.

    >>> is_fixed(fixed_name("forest", 7)), is_fixed("forest"), is_fixed("forest@0123456789abcdef")
    (True, False, False)
    """
    return _FIXED in name


class Tenure(Struct, frozen=True):
    """How long a contender has been champion, and which version was champion before.

    `since`: the newest date that the decision looked at which made it champion. `previous`: the version that had the
    alias until it moved, after the date `moved`. `is_live`: whether the previous champion's contender goes on
    predicting (after a succession), or only that fixed version does (after a refresh). `refused`: versions that were
    rejected and are not judged again.
    """

    since: date | None
    previous: int | None = field(default=None, name="before")
    moved: date | None = None
    is_live: bool = field(default=False, name="goes_on")
    refused: tuple[int, ...] = ()

    def without_probation(self) -> "Tenure":
        """Forget the previous champion."""
        return replace(self, previous=None, moved=None, is_live=False)

    @classmethod
    def after(cls, decision: Decision) -> "Tenure":
        """Read the tenure as a decision left it."""
        return convert(decision.evidence["reign"], cls)


class Probation(Struct, frozen=True):
    """The previous champion, which goes on predicting: `against` is its name on the scoreboard, after `since`."""

    against: str
    since: date | None


@dataclass(frozen=True)
class GateState:
    """What earlier decisions left: what is known of each pair, and the ranking."""

    pairs: Mapping[PairKey, Pair] = dataclass_field(default_factory=dict)
    ranking: Ranking | None = None


class StoredPair(Struct, frozen=True):
    """A pair with the names of its contenders."""

    champion: str
    challenger: str
    pair: Pair


class StoredState(Struct, frozen=True):
    """A gate state as a decision keeps it.

    `identities`: for each name the hash of a declaration, or the digest of a fixed version; `ranked`: the eligible
    contenders.
    """

    identities: Mapping[str, str]
    ranked: tuple[str, ...]
    ranking: Ranking | None
    pairs: tuple[StoredPair, ...]

    @classmethod
    def of(cls, decision: Decision) -> "StoredState":
        """Read what a decision of the gate kept."""
        return convert(decision.evidence["carried"], cls)


def to_json(state: GateState, identities: Mapping[str, str], eligible: Collection[str]) -> dict[str, Any]:
    """Convert a gate state to JSON, to the bit; `restore_state` is the way back."""
    pairs = [StoredPair(champion, challenger, pair) for (champion, challenger, _), pair in state.pairs.items()]
    stored = StoredState(dict(identities), tuple(sorted(eligible)), state.ranking, tuple(pairs))
    plain: dict[str, Any] = to_builtins(stored)
    return plain


def restore_state(
    last: Decision | None,
    basis: str,
    identities: Mapping[str, str],
    eligible: Collection[str],
    tenure: tuple[str | None, date | None],
) -> GateState:
    """Restore what the last decision left, as far as it still applies.

    Evidence is kept for contenders whose declaration is unchanged. A challenger of this tenure whose declaration has
    changed keeps its evidence under another name, until it is declared so again, because it has used of alpha. A
    ranking without one of the eligible contenders, which had predicted too little, is begun again.

    Args:
        last: the last decision of the gate on the series; None before the first.
        basis: names what evidence depends on besides rows and contenders.
        identities: for each name the hash of its declaration, or the digest of a fixed version.
        eligible: the contenders that may become champion.
        tenure: the champion, and since when.

    """
    if last is None:
        return GateState()
    left, is_same_basis = StoredState.of(last), last.evidence["stands_on"] == basis
    unchanged = {name for name, identity in left.identities.items() if identities.get(name) == identity}
    pairs: dict[PairKey, Pair] = {}
    for one in left.pairs:
        champion, challenger = (_renamed(name, left.identities, identities) for name in (one.champion, one.challenger))
        is_of_tenure = (champion, one.pair.since) == tenure
        # It has used of alpha under its old declaration, so it counts wherever evidence is shared.
        has_left = is_of_tenure and not (challenger in identities or is_fixed(challenger))
        if champion in identities and (has_left or (is_same_basis and challenger in identities)):
            pairs[champion, challenger, one.pair.since] = one.pair
    # A ranking needs the same contenders on all its rows, under the same declarations.
    ranking = left.ranking
    is_whole = ranking is not None and set(ranking.losses or ()) == set(eligible) and set(eligible) <= unchanged
    return GateState(pairs, ranking if is_whole and is_same_basis else None)


def _renamed(name: str, before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return the name that a contender has now: one with another declaration than today's has its hash behind it."""
    if is_fixed(name) or (name in before and now.get(name) == before[name]):
        return name
    contender, _, declaration = name.partition("@")
    declaration = before.get(name, declaration)
    return contender if now.get(contender) == declaration else f"{contender}@{declaration}"
