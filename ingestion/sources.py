"""The sources there are, by the names that task files use."""

from core.errors import ConfigurationError
from core.settings import Settings
from core.tasks import Task
from ingestion.source import Source


def open_source(settings: Settings, task: Task, name: str) -> Source:
    """The source of this name (as task files write it) for a task. Only the one asked for is imported."""
    match name:
        case "yahoo":
            from ingestion.yahoo import Yahoo

            return Yahoo(settings, task)
        case "sample":
            from ingestion.samples import Sample

            return Sample(task)
        case "airline":
            from ingestion.samples import Airline

            return Airline(task)
        case "csv":
            from ingestion.files import CsvFile

            return CsvFile(settings, task)
        case "parquet":
            from ingestion.files import ParquetFile

            return ParquetFile(settings, task)
    raise ConfigurationError(f"There is no source {name!r}.", "Known sources: yahoo, sample, airline, csv, parquet.")
