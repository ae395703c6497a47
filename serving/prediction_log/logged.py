"""What is logged of an answer: a line of Postgres's COPY text format, and the features behind it."""

from dataclasses import dataclass
from datetime import date, datetime

from serving.champion.predictor import Answer, ServedPrediction

COLUMNS = (
    "id", "made_at", "task", "series", "contender", "version", "alias", "event_date", "target_date", "value",
    "threshold", "prediction", "features_hash", "data_hash", "stale", "last_event_id",
)  # fmt: skip
"""Columns of the table `predictions`, in the order of a line."""

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True)
class LoggedFeatures:
    """A row of `feature_rows`."""

    features_hash: str
    series: str
    event_date: date
    features: dict[str, float]


@dataclass(frozen=True)
class LoggedAnswer:
    """What every sending of one reply shares: its columns but id and time, written out once, and its features."""

    task: str
    shared: str
    features: LoggedFeatures

    @classmethod
    def of(cls, standing: ServedPrediction, answer: Answer) -> "LoggedAnswer":
        """What is logged of an answer."""
        version, latest, row = standing.champion.version, standing.latest, standing.latest.row
        values = (
            standing.task.name, latest.series, version.contender, version.version, answer.model_alias, answer.as_of,
            answer.target_date, standing.value, answer.threshold, answer.prediction, row.features_hash,
            latest.data_hash, answer.stale, answer.last_event_id,
        )  # fmt: skip
        return cls(
            task=standing.task.name,
            shared="\t".join(_field(value) for value in values) + "\n",
            features=LoggedFeatures(row.features_hash, latest.series, row.event_date, row.features),
        )

    def line(self, identity: str, made_at: datetime) -> str:
        """The line of one sending."""
        return f"{identity}\t{made_at}\t{self.shared}"


def _field(value: object) -> str:
    r"""A value in COPY's text format.

    >>> print(_field(None), _field("a\tb"), _field(0.1))
    \N a\tb 0.1
    """
    return "\\N" if value is None else str(value).translate(_ESCAPES)
