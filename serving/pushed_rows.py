"""Bodies of the learning endpoints: one row or a list of rows, read into drafts."""

from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from core.errors import ContenderError
from training.events import Draft, Features

MOST_ROWS = 1_000
MOST_STEPS = 1_000
RESERVED_SERIES = "model_info"
_MOST_CHARACTERS = 200

Action = Literal["predict", "train", "predict_learn"]


class InvalidRowsError(ContenderError):
    """A body that is JSON and is not rows."""


class TooManyRowsError(ContenderError):
    """A list, or a number of steps, that is longer than the service takes."""


class _Row(msgspec.Struct):
    features: Features | UnsetType = UNSET
    target: float | bool | UnsetType = UNSET
    id: str | int | UnsetType | None = UNSET
    series_id: str | UnsetType | None = UNSET


class _Ahead(_Row):
    steps: int = 5


@dataclass(frozen=True, slots=True)
class Rows:
    """The drafts of a request; `is_list` says whether a list was sent, which is answered by a list."""

    drafts: list[Draft]
    is_list: bool


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a forecast is asked of."""

    features: Features
    series_id: str | None
    steps: int


_decode_rows = msgspec.json.Decoder(_Row | list[_Row]).decode
_decode_ahead = msgspec.json.Decoder(_Ahead).decode


def read_rows(body: bytes, action: Action) -> Rows:
    """The rows of a body. Raises InvalidRowsError with the place of the fault, TooManyRowsError for a longer list."""
    try:
        decoded = _decode_rows(body)
    except msgspec.ValidationError as error:
        raise InvalidRowsError(f"The body does not fit: {error}.", "Send a row, or a list of rows.") from None
    if isinstance(decoded, list):
        if len(decoded) > MOST_ROWS:
            raise TooManyRowsError(
                f"The list has {len(decoded):,} rows; one request takes {MOST_ROWS:,}.", "Send it in pieces."
            )
        return Rows([_draft(row, action, f" of row {number}") for number, row in enumerate(decoded, 1)], is_list=True)
    return Rows([_draft(decoded, action, "")], is_list=False)


def read_ahead(body: bytes) -> Ahead:
    """What `predict_many` is asked: features (none: {}), a series, and the number of steps, 5 unless told."""
    try:
        asked = _decode_ahead(body)
    except msgspec.ValidationError as error:
        raise InvalidRowsError(f"The body does not fit: {error}.", "Send features, and steps if not 5.") from None
    if asked.steps < 1:
        raise InvalidRowsError(f"steps is {asked.steps}; it must be at least 1.")
    if asked.steps > MOST_STEPS:
        raise TooManyRowsError(f"steps is {asked.steps:,}; one request takes {MOST_STEPS:,}.", "Ask for fewer.")
    features = {} if asked.features is UNSET else asked.features
    return Ahead(features, _text(asked.series_id, "series_id", ""), asked.steps)


def _draft(row: _Row, action: Action, where: str) -> Draft:
    features = None if row.features is UNSET else row.features
    target = None if row.target is UNSET else float(row.target)
    event_id = _text(row.id, "id", where)
    series = _text(row.series_id, "series_id", where)
    if action == "predict":
        if features is None:
            raise InvalidRowsError(f"features{where} is missing.")
        return Draft("predict", features, None, event_id, series)
    if target is None:
        raise InvalidRowsError(f"target{where} is missing.")
    if features is not None:
        return Draft("row", features, target, event_id, series)
    if action == "train" and event_id is not None:
        return Draft("label", None, target, event_id, series)
    raise InvalidRowsError(
        f"features{where} is missing.",
        "Only /train takes a target alone, with the id under which its features were or will be sent.",
    )


def _text(value: str | int | UnsetType | None, name: str, where: str) -> str | None:
    if value is UNSET or value is None:
        return None
    text = str(value)
    if name == "series_id" and text == RESERVED_SERIES:
        raise InvalidRowsError(f"series_id{where} is {text}, which /model_metrics uses for the model itself.")
    if not 0 < len(text) <= _MOST_CHARACTERS or not text.isprintable():
        raise InvalidRowsError(f"{name}{where} must have 1 to {_MOST_CHARACTERS} printable characters.")
    return text
