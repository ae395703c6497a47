"""Where "now" comes from. Jobs take a clock; nothing else reads the wall clock to decide what to do."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Protocol

from core.config.settings import Settings
from core.errors import ConfigurationError
from core.files import write_atomically


class Clock(Protocol):
    """The time by which a job decides what is known and what is due."""

    def now(self) -> datetime:
        """The present instant, timezone-aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present instant in UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True)
class FixedClock:
    """A clock fixed at one instant: for `--as-of`, replays and tests."""

    instant: datetime

    def now(self) -> datetime:
        """The instant given, in UTC."""
        return self.instant.astimezone(UTC)


@dataclass(frozen=True)
class FileClock:
    """A clock read from a file, by which another process moves the time of the services.

    Without the file it is the machine's clock.
    """

    file: Path

    def now(self) -> datetime:
        """The instant in the file, in UTC."""
        try:
            return datetime.fromisoformat(self.file.read_text()).astimezone(UTC)
        except FileNotFoundError:
            return SystemClock().now()

    def move_to(self, now: datetime) -> None:
        """Move the time in one step: a reader sees the old instant or the new one."""
        write_atomically(self.file, now.isoformat())

    def remove(self) -> None:
        """Return to the machine's clock."""
        self.file.unlink(missing_ok=True)


@dataclass(frozen=True)
class ReplayClock:
    """A clock that jumps a day every `day_seconds`: it showed `start` when the machine's clock showed `since`.

    Every process with these three settings computes the same time, on any machine. It ends at the machine's own time.
    """

    start: datetime
    since: datetime
    day_seconds: float

    def now(self) -> datetime:
        """The instant of the replay, in UTC."""
        machine = SystemClock().now()
        days_replayed = max((machine - self.since).total_seconds() // self.day_seconds, 0)
        days_available = (machine - self.start) / timedelta(days=1)
        # Caught up, it is the machine's clock: a replay must not run ahead into the future.
        return machine if days_replayed >= days_available else self.start + timedelta(days=days_replayed)


def configured_clock(settings: Settings) -> Clock:
    """The clock that the settings name: one in a file, one of a replay, or the machine's."""
    if settings.clock_file:
        return FileClock(Path(settings.clock_file))
    if settings.clock_start:
        if settings.clock_since is None:
            raise ConfigurationError(
                "CONTENDER_CLOCK_START is set, and CONTENDER_CLOCK_SINCE is not: the replay's clock has no beginning.",
                "Set it to the instant at which the replay began, as 2026-11-20T08:00:00+00:00.",
            )
        return ReplayClock(_utc(settings.clock_start), _utc(settings.clock_since), settings.clock_day_seconds)
    return SystemClock()


def _utc(instant: datetime) -> datetime:
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)


def parse_as_of(text: str, clock: Clock | None = None) -> FixedClock:
    """A clock fixed at an ISO date (its last second, UTC) or an ISO instant (UTC unless it has an offset).

    Raises ConfigurationError for a time in the future, and for text that is neither.

    >>> parse_as_of("2018-12-31").now().isoformat()
    '2018-12-31T23:59:59+00:00'
    >>> parse_as_of("2018-12-31T21:30:00-05:00").now().isoformat()
    '2019-01-01T02:30:00+00:00'
    """
    now = (clock or SystemClock()).now()
    instant = _instant(text)
    is_today = instant.date() == now.date() and len(text) <= len("2018-12-31")
    if instant > now and not is_today:
        raise ConfigurationError(
            f"--as-of {text} lies in the future: it is {now:%Y-%m-%d %H:%M} (UTC).",
            "Give a date in the past, or leave out --as-of for the present.",
        )
    # Today's last second is still to come: at that instant a bar would count as final that is not.
    return FixedClock(min(instant, now))


def _instant(text: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), time(23, 59, 59), tzinfo=UTC)
    except ValueError:
        pass
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"--as-of {text!r} is neither an ISO date nor an ISO instant.",
            "Write it as 2018-12-31 or 2018-12-31T22:00:00+00:00.",
        ) from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
