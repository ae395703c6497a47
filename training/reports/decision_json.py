"""`decision.json`: a decision as a file, the same bytes for the same decision; and where two decisions differ."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from training.ledger.decisions import Decision

NAME = "decision.json"


def content(decision: Decision) -> bytes:
    """Write the file: sorted and indented, without the decision's id and time of writing."""
    return (json.dumps(_plain(decision), sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()


def differences(kept: Decision, made: Decision) -> list[str]:
    """List each place in which two decisions differ, with both values: `evidence.rows: 30 → 31`.

    The state that the next decision goes on from comes last.
    """
    found = _differences(_plain(kept), _plain(made), "")
    # The state repeats what differs above it, at length.
    return sorted(found, key=lambda line: line.startswith("evidence.carried"))


def _plain(decision: Decision) -> dict[str, Any]:
    day = decision.session_date.isoformat()
    return {**asdict(decision), "session_date": day, "evidence_hash": decision.evidence_hash}


def _differences(kept: Any, made: Any, where: str) -> Iterator[str]:
    kept, made = _parts(kept), _parts(made)
    if isinstance(kept, Mapping) and isinstance(made, Mapping):
        for name in sorted({*kept, *made}):
            yield from _differences(kept.get(name), made.get(name), _below(where, name))
    elif kept != made or type(kept) is not type(made):
        yield f"{where}: {_shown(kept)} → {_shown(made)}"


def _below(where: str, name: str) -> str:
    return f"{where}.{name}" if where and not name.startswith("[") else f"{where}{name}"


def _parts(value: Any) -> Any:
    """Convert a list to a mapping: by the names of contenders where it has them, by index otherwise."""
    if not isinstance(value, list):
        return value
    if value and all(isinstance(one, Mapping) and "challenger" in one for one in value):
        # By name, one contender more or less does not make all that follow it differ.
        named: dict[str, Any] = {}
        for one in value:
            name = " > ".join(str(one[key]) for key in ("champion", "challenger") if key in one)
            named[f"[{name}]" if f"[{name}]" not in named else f"[{name} {len(named)}]"] = one
        return named
    return {f"[{index}]": one for index, one in enumerate(value)}


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"
