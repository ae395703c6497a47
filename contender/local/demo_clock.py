"""A day every few seconds, for demonstrations: the loop goes on by a clock that jumps to the next final value."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

from core.config.settings import Settings
from core.config.tasks import Task
from core.jobs.calendars import expected_dates, final_at
from core.jobs.clock import Clock, FixedClock, ToldClock

_NEVER = datetime.max.replace(tzinfo=UTC)
_LOOK_AHEAD_DAYS = 70
"""No exchange and no month leaves a longer time without a value."""


def told_clock(settings: Settings) -> ToldClock:
    """What tells the services of a home which day it is."""
    return ToldClock(Path(settings.clock_file) if settings.clock_file else settings.home / "clock")


def moved(settings: Settings, now: datetime) -> Settings:
    """The settings by which services follow the days; they stand at `now` at first."""
    clock = told_clock(settings)
    clock.file.parent.mkdir(parents=True, exist_ok=True)
    clock.tell(now)
    return settings.model_copy(update={"clock_file": str(clock.file)})


@dataclass
class Days:
    """The days of a demonstration: each `seconds`, or later where it takes longer, `run` is called with its tasks.

    `now` is the instant at which the last one stood. They end with the machine's own time, or where it is quiet for
    longer than any exchange is. `tell` hears of each.
    """

    seconds: float
    tasks: Sequence[Task]
    machine: Clock
    run: Callable[[Clock, Sequence[Task]], object]
    tell: Callable[[str], None]
    now: datetime
    is_over: bool = False
    begun: float | None = None

    def go_on(self) -> None:
        """Lives the next day when it is time for it."""
        if self.begun is None:
            self.begun = monotonic()
        if self.is_over or monotonic() < self.begun + self.seconds:
            return
        self.begun = monotonic()
        following, due = next_values(self.tasks, self.now)
        if following > self.machine.now():
            self.is_over = True
            self.tell("The days have come to the present; what is served stays up.")
            return
        self.now = following
        self.tell(f"It is {following:%Y-%m-%d %H:%M} (UTC).")
        self.run(FixedClock(following), due)


def next_values(tasks: Sequence[Task], now: datetime) -> tuple[datetime, list[Task]]:
    """When the next value of any of the series is final, and the tasks of which one is then.

    After the last of all there are none, at the end of time.
    """
    first, last = (now - timedelta(days=_LOOK_AHEAD_DAYS)).date(), (now + timedelta(days=_LOOK_AHEAD_DAYS)).date()
    coming = {
        task.name: [
            instant
            for day in expected_dates(task, max(first, task.start), last)
            if (instant := final_at(task, day)) > now
        ]
        for task in tasks
    }
    following = min((instants[0] for instants in coming.values() if instants), default=_NEVER)
    return following, [task for task in tasks if following in coming[task.name]]
