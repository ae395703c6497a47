"""The clock of a demonstration (`contender up --accelerate`): it jumps to the next final value every few seconds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

from core.config.settings import Settings
from core.config.tasks import Task
from core.jobs.calendars import expected_dates, final_at
from core.jobs.clock import Clock, FileClock, FixedClock

_NEVER = datetime.max.replace(tzinfo=UTC)
# Longer than any exchange is closed, and longer than a month: within it every series has a value.
_LOOK_AHEAD_DAYS = 70


def demo_clock(settings: Settings) -> FileClock:
    """The clock file that the services of a home read during a demonstration."""
    return FileClock(Path(settings.clock_file) if settings.clock_file else settings.home / "clock")


def with_demo_clock(settings: Settings, now: datetime) -> Settings:
    """The settings by which services follow the demonstration's clock, which is set to `now`."""
    clock = demo_clock(settings)
    clock.file.parent.mkdir(parents=True, exist_ok=True)
    clock.move_to(now)
    return settings.model_copy(update={"clock_file": str(clock.file)})


@dataclass
class DemoDays:
    """The days of a demonstration: `run` is called for each with the tasks that have a new value.

    A day lasts `seconds`, or as long as `run` takes. The days end at the machine's own time, or after the last value
    of every series.

    Attributes:
        seconds: how long a day lasts at least.
        tasks: those whose values make the days.
        machine: the clock of the machine, beyond which no day lies.
        run: the work of a day.
        report: gets a line for each day.
        now: the instant of the present day.

    """

    seconds: float
    tasks: Sequence[Task]
    machine: Clock
    run: Callable[[Clock, Sequence[Task]], object]
    report: Callable[[str], None]
    now: datetime
    is_over: bool = False
    started: float | None = None

    def advance(self) -> None:
        """Run the next day if it is due."""
        if self.started is None:
            self.started = monotonic()
        if self.is_over or monotonic() < self.started + self.seconds:
            return
        self.started = monotonic()
        following, due = next_values(self.tasks, self.now)
        if following > self.machine.now():
            self.is_over = True  # a value of the future is not stored yet
            self.report("The demonstration has reached the present; the services go on.")
            return
        self.now = following
        self.report(f"It is {following:%Y-%m-%d %H:%M} (UTC).")
        self.run(FixedClock(following), due)


def next_values(tasks: Sequence[Task], now: datetime) -> tuple[datetime, list[Task]]:
    """When the next value of any series becomes final, and the tasks that have one then.

    After the last value of every series: the end of time, and no task.
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
