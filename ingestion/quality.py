"""What of an answer may be stored: pure checks over the rows as they came, each refusal with its reason."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from math import isfinite

from core.config.tasks import Task
from core.errors import DataRefusedError
from core.jobs.calendars import expected_dates, final_at, is_expected, session, timezone
from ingestion.sources.base import MONTH_FIELDS, PRICES, SESSION_FIELDS, RawRow
from ingestion.store.observations import Observation
from ingestion.store.quarantine import RejectedRow

# Open and close may leave the day's range by this much of the price: sources round, and adjust each column alone.
_RANGE_TOLERANCE = 1e-3
# A day's shift puts a fifth of the sessions on days without one; a few such rows are single faults.
_MOST_SHIFTED = 0.1
_LARGEST = 1e100  # the square of a larger one is soon no number any more
_SCALE_MOVED, _SCALE_ROWS = 0.01, 5

NO_DATE = "its date cannot be read"
NO_SESSION = "there is no session on this date"
WRONG_ZONE = "its time of day is in the wrong time zone"
LIVE = "a live bar beside the final one"
REPEATED = "the same row again"
CONFLICTING = "several rows for this date, which do not agree"


@dataclass(frozen=True)
class CheckResult:
    """An answer after its checks. Rows before the task's start, and values not final yet, are left out without blame.

    `accepted` is sorted by date, one a date; `not_final` counts the rows whose time has not come.
    """

    accepted: tuple[Observation, ...]
    quarantined: tuple[RejectedRow, ...]
    not_final: int


@dataclass(frozen=True)
class _Dated:
    event_date: date
    is_live: bool
    fields: dict[str, float]


def check(task: Task, rows: Sequence[RawRow], now: datetime, stored: Collection[date] = ()) -> CheckResult:
    """Sorts an answer into what may be stored and what may not, given the dates that are stored already.

    Raises DataRefusedError, and nothing of it may be stored, when it is empty, lacks a field, seems dated by another
    clock, is bad for the most part, or lacks a day on which a split took place.
    """
    names = SESSION_FIELDS if task.frequency == "session" else MONTH_FIELDS
    _require_shape(task, rows, names)
    faults: list[RejectedRow] = []
    by_date: dict[date, list[_Dated]] = defaultdict(list)
    for row in rows:
        dated = _dated(task, row)
        if isinstance(dated, str):
            day = row.stamp.date() if isinstance(row.stamp, datetime) else row.stamp
            faults.append(RejectedRow(day, dated, row.fields))
        elif dated.event_date >= task.start:
            by_date[dated.event_date].append(dated)
    _require_right_dates(task, len(rows), faults)

    accepted: list[Observation] = []
    not_final = 0
    for day in sorted(by_date):
        if day > now.date() or (final := final_at(task, day)) > now:
            not_final += len(by_date[day])
            continue
        bar, spare = _one(by_date[day])
        faults.extend(spare)
        if bar is None:
            continue
        if reason := _fault(bar.fields, names):
            faults.append(RejectedRow(day, reason, bar.fields))
            continue
        accepted.append(Observation(day, final, {name: bar.fields[name] for name in names}))
    _require_mostly_good(task, accepted, faults)
    _require_split_days(task, {observation.event_date for observation in accepted}.union(stored), faults)
    return CheckResult(tuple(accepted), tuple(faults), not_final)


def require_same_scale(series: str, known: Mapping[date, Mapping[str, float]], accepted: Sequence[Observation]) -> None:
    """Refuses prices that are the stored ones times one factor: raw prices are never restated that way.

    It happens when a source lists a split that it has not applied yet, or applies one that it does not list.
    """
    shared = [row for row in accepted if row.event_date in known and "close" in row.fields]
    ratios = [row.fields["close"] / known[row.event_date]["close"] for row in shared]
    moved = sorted(ratio for ratio in ratios if abs(ratio - 1) > _SCALE_MOVED)
    if len(moved) < _SCALE_ROWS or 2 * len(moved) <= len(shared) or moved[-1] > moved[0] * (1 + _RANGE_TOLERANCE):
        return
    raise DataRefusedError(
        f"{len(moved)} of {len(shared)} stored prices of {series} came back {moved[0]:.4g} times as high, as when a "
        "split was listed but not applied, or applied but not listed.",
        "Nothing of this answer is stored; a source usually mends this within a day or two. "
        "Prices of another scale need a series of their own.",
    )


def gaps(task: Task, stored: Collection[date], through: date) -> tuple[date, ...]:
    """The dates up to `through` on which a value is due and none is stored, from the first stored one on."""
    if not stored:
        return ()
    return tuple(sorted(set(expected_dates(task, min(stored), through)).difference(stored)))


def _dated(task: Task, row: RawRow) -> _Dated | str:
    """The row under its date, or what is wrong with its date."""
    stamp = row.stamp
    if stamp is None:
        return NO_DATE
    if task.frequency == "month":  # sources date a month by its first day or its last
        day = stamp.date() if isinstance(stamp, datetime) else stamp
        return _Dated(day.replace(day=1), is_live=False, fields=row.fields)
    if not isinstance(stamp, datetime):
        return _Dated(stamp, False, row.fields) if is_expected(task, stamp) or stamp < task.start else NO_SESSION
    local = stamp.astimezone(timezone(task)) if stamp.tzinfo else stamp.replace(tzinfo=timezone(task))
    day = local.date()
    if day < task.start:
        return _Dated(day, False, row.fields)
    is_live = local.time() != time(0)
    hours = session(task, day)
    if is_live and (hours is None or not hours.opens_at <= local <= hours.closes_at):
        return WRONG_ZONE
    return _Dated(day, is_live, row.fields) if hours else NO_SESSION


def _one(rows: list[_Dated]) -> tuple[_Dated | None, list[RejectedRow]]:
    """The one row of a date, and the others with the reason why they are not it."""
    if len(rows) == 1:
        return rows[0], []
    settled = [row for row in rows if not row.is_live]
    live = [row for row in rows if row.is_live]
    if not settled:
        settled, live = live, []
    spare = [RejectedRow(row.event_date, LIVE, row.fields) for row in live]
    first, *others = settled
    if any(repr(row.fields) != repr(first.fields) for row in others):  # repr: NaN is unlike itself
        return None, spare + [RejectedRow(row.event_date, CONFLICTING, row.fields) for row in settled]
    return first, spare + [RejectedRow(row.event_date, REPEATED, row.fields) for row in others]


def _fault(fields: dict[str, float], names: Sequence[str]) -> str | None:
    """The first thing wrong with the values of a row, or None."""
    unreadable = [name for name in names if not isfinite(fields[name])]
    if unreadable:
        return f"{', '.join(unreadable)}: not a finite number"
    enormous = [name for name in names if abs(fields[name]) > _LARGEST]
    if enormous:
        return f"{', '.join(enormous)}: beyond {_LARGEST:g}"
    if names == MONTH_FIELDS:
        return None
    return next((reason for reason, holds in _SESSION_FAULTS if holds(fields)), None)


_SESSION_FAULTS: tuple[tuple[str, Callable[[dict[str, float]], bool]], ...] = (
    ("a price of zero or less", lambda bar: min(bar[name] for name in PRICES) <= 0),
    ("its high is below its low", lambda bar: bar["high"] < bar["low"] * (1 - _RANGE_TOLERANCE)),
    ("its open is outside the day's range", lambda bar: _outside(bar, "open")),
    ("its close is outside the day's range", lambda bar: _outside(bar, "close")),
    ("a volume below zero", lambda bar: bar["volume"] < 0),
    ("a dividend below zero", lambda bar: bar["dividend"] < 0),
    ("a split ratio of zero or less", lambda bar: bar["split"] <= 0),
)


def _outside(bar: dict[str, float], name: str) -> bool:
    return not bar["low"] * (1 - _RANGE_TOLERANCE) <= bar[name] <= bar["high"] * (1 + _RANGE_TOLERANCE)


def _require_shape(task: Task, rows: Sequence[RawRow], names: Sequence[str]) -> None:
    if not rows:
        raise DataRefusedError(
            f"The source of {task.series} sent no rows.", "That is not taken to mean that there are none."
        )
    missing = [name for name in names if any(name not in row.fields for row in rows)]
    if missing:
        raise DataRefusedError(
            f"What the source of {task.series} sent has no {', '.join(missing)}.",
            f"A {task.frequency} series needs {', '.join(names)}.",
        )


def _require_right_dates(task: Task, total: int, faults: Sequence[RejectedRow]) -> None:
    shifted = sum(fault.reason in (NO_SESSION, WRONG_ZONE) for fault in faults)
    if shifted >= 3 and shifted > _MOST_SHIFTED * total:
        raise DataRefusedError(
            f"{shifted} of {total} rows of {task.series} are dated where {task.calendar} has no session: "
            "the dates seem shifted, as when read in another time zone.",
            "Date each bar by its exchange session (a plain date, or midnight of the exchange's time zone).",
        )


def _require_mostly_good(task: Task, accepted: Sequence[Observation], faults: Sequence[RejectedRow]) -> None:
    bad = sum(fault.reason not in (LIVE, REPEATED) for fault in faults)
    if bad > len(accepted):
        reason, count = Counter(fault.reason for fault in faults).most_common(1)[0]
        raise DataRefusedError(
            f"{bad} of {bad + len(accepted)} rows of {task.series} are bad, {count} of them for one reason: {reason}.",
            "Nothing of this answer is stored; see that the source sends what the task file says.",
        )


def _require_split_days(task: Task, good: Collection[date], faults: Sequence[RejectedRow]) -> None:
    """A split whose day is missing would look like a crash to everything that reads the series."""
    for fault in faults:
        split = fault.fields.get("split", 1.0)
        if fault.event_date not in good and isfinite(split) and split > 0 and split != 1:
            raise DataRefusedError(
                f"{task.series} has a {split:g}:1 split on {fault.event_date}, but that day's bar is bad: "
                f"{fault.reason}.",
                "Nothing of this answer is stored, or the split would look like a crash; try again tomorrow.",
            )
