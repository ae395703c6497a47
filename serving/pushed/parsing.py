"""Parses the bodies of the learning endpoints: one row or a list of rows, into new events."""

from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from core.errors import ContenderError
from features.arrays import FeatureRow
from training.event_log.events import NewEvent

MOST_ROWS = 1_000
MOST_STEPS = 1_000
RESERVED_SERIES = "model_info"
_MOST_CHARACTERS = 200

Action = Literal["predict", "train", "predict_learn"]


class InvalidRowsError(ContenderError):
    """A body that is JSON, but not rows."""


class TooManyRowsError(ContenderError):
    """A list, or a number of steps, that is longer than one request may be."""


# `gc=False`: rows hold no cycles, and a list of 1,000 would make the garbage collector run in the middle of it.
class _Row(msgspec.Struct, gc=False):
    features: FeatureRow | UnsetType = UNSET
    target: float | bool | UnsetType = UNSET
    id: str | int | UnsetType | None = UNSET
    series_id: str | UnsetType | None = UNSET


class _ForecastBody(_Row, gc=False):
    steps: int = 5


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a request; `is_list` says whether a list was sent, which is answered by a list."""

    events: list[NewEvent]
    is_list: bool


@dataclass(frozen=True, slots=True)
class ForecastRequest:
    """A request for a forecast."""

    features: FeatureRow
    series_id: str | None
    steps: int


_decode_rows = msgspec.json.Decoder(_Row | list[_Row]).decode
_decode_forecast = msgspec.json.Decoder(_ForecastBody).decode


def read_rows(body: bytes, action: Action) -> Rows:
    """The rows of a body.

    Raises:
        InvalidRowsError: with the place of the fault.
        TooManyRowsError: the list is too long.
    """
    try:
        decoded = _decode_rows(body)
    except msgspec.ValidationError as error:
        raise InvalidRowsError(f"The body does not fit: {error}.", "Send a row, or a list of rows.") from None
    if isinstance(decoded, list):
        if len(decoded) > MOST_ROWS:
            raise TooManyRowsError(
                f"The list has {len(decoded):,} rows; one request takes {MOST_ROWS:,}.", "Send it in pieces."
            )
        rows = Rows([_event(row, action, number) for number, row in enumerate(decoded, 1)], is_list=True)
    else:
        rows = Rows([_event(decoded, action, 0)], is_list=False)
    # Postgres refuses U+0000 in jsonb. The bytes are searched first, which is quicker than to look at every name.
    if rb"\u0000" in body and any("\0" in name for event in rows.events for name in event.features or ()):
        raise InvalidRowsError("A feature's name holds the character U+0000, which the log cannot keep.")
    return rows


def read_forecast_request(body: bytes) -> ForecastRequest:
    """The request in the body of `/predict_many`: features (none: {}), a series, and the number of steps (5)."""
    try:
        forecast = _decode_forecast(body)
    except msgspec.ValidationError as error:
        raise InvalidRowsError(f"The body does not fit: {error}.", "Send features, and steps if not 5.") from None
    if forecast.steps < 1:
        raise InvalidRowsError(f"steps is {forecast.steps}; it must be at least 1.")
    if forecast.steps > MOST_STEPS:
        raise TooManyRowsError(f"steps is {forecast.steps:,}; one request takes {MOST_STEPS:,}.", "Ask for fewer.")
    features = {} if forecast.features is UNSET else forecast.features
    series = None if forecast.series_id is UNSET else _text(forecast.series_id, "series_id", 0)
    return ForecastRequest(features, series, forecast.steps)


def _event(row: _Row, action: Action, number: int) -> NewEvent:
    """One row; `number` is its place in a list, 0 for a row that came alone."""
    event_id = None if row.id is UNSET else _text(row.id, "id", number)
    series = None if row.series_id is UNSET else _text(row.series_id, "series_id", number)
    if action == "predict":
        if row.features is UNSET:
            raise InvalidRowsError(f"features{_of(number)} is missing.")
        return NewEvent("predict", row.features, None, event_id, series)
    if row.target is UNSET:
        raise InvalidRowsError(f"target{_of(number)} is missing.")
    # Plus zero: true becomes 1.0, and -0.0 becomes 0.0, from which the log does not distinguish it.
    if row.features is not UNSET:
        return NewEvent("row", row.features, row.target + 0.0, event_id, series)
    if action == "train" and event_id is not None:
        return NewEvent("label", None, row.target + 0.0, event_id, series)
    raise InvalidRowsError(
        f"features{_of(number)} is missing.",
        "Only /train takes a target alone, with the id under which its features were or will be sent.",
    )


def _text(value: str | int | None, name: str, number: int) -> str | None:
    if value is None:
        return None
    text = str(value)
    if name == "series_id" and text == RESERVED_SERIES:
        raise InvalidRowsError(f"series_id{_of(number)} is {text}, which /model_metrics uses for the model itself.")
    if not 0 < len(text) <= _MOST_CHARACTERS or not text.isprintable():
        raise InvalidRowsError(f"{name}{_of(number)} must have 1 to {_MOST_CHARACTERS} printable characters.")
    return text


def _of(number: int) -> str:
    return f" of row {number}" if number else ""
