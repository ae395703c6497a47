"""Real data that come with installed packages: the S&P 500 index (arch) and airline passengers (River)."""

from datetime import date
from importlib.metadata import version

from core.config.tasks import Task
from core.errors import ConfigurationError
from ingestion.sources.base import RawRow


class Sample:
    """The S&P 500 index from 1999 to 2018, daily: `arch.data.sp500`, as the series GSPC.

    It is a series of its own, never a part of SPY: the index is at ten times the fund's price and pays no dividend.
    """

    name = "sample"
    series = "GSPC"

    def __init__(self, task: Task) -> None:
        if task.frequency != "session":
            raise ConfigurationError(
                f"Task {task.name} asks for the sample, which has one value a session, not one a {task.frequency}.",
                "Write `frequency: session`, or another source or fallback.",
            )

    def fingerprint(self) -> str:
        """The version of the package that holds the data."""
        return f"arch {version('arch')}"

    def fetch(self, since: date | None) -> list[RawRow]:  # noqa: ARG002 (all of it is at hand)
        """All 5,031 sessions, whatever is stored."""
        from arch.data import sp500

        return [
            RawRow(
                bar.Index.date(),
                {
                    "open": float(bar.Open),
                    "high": float(bar.High),
                    "low": float(bar.Low),
                    "close": float(bar.Close),
                    "volume": float(bar.Volume),
                    "dividend": 0.0,
                    "split": 1.0,
                },
            )
            for bar in sp500.load().itertuples()
        ]


class Airline:
    """Passengers of international flights, in thousands a month, 1949 to 1960: `river.datasets.AirlinePassengers`."""

    name = "airline"

    def __init__(self, task: Task) -> None:
        if task.frequency != "month":
            raise ConfigurationError(
                f"Task {task.name} asks for airline passengers, which are counted by month, not by {task.frequency}.",
                "Write `frequency: month`, or another source.",
            )
        self.series = task.series

    def fingerprint(self) -> str:
        """The version of the package that holds the data."""
        return f"river {version('river')}"

    def fetch(self, since: date | None) -> list[RawRow]:  # noqa: ARG002 (all of it is at hand)
        """All 144 months, whatever is stored."""
        from river.datasets import AirlinePassengers

        return [RawRow(when["month"].date(), {"value": float(count)}) for when, count in AirlinePassengers()]
