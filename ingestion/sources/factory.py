"""The sources there are, by the names that task files use."""

from core.config.settings import Settings
from core.config.tasks import Task
from core.errors import ConfigurationError
from ingestion.sources.base import Source


def open_source(settings: Settings, task: Task, name: str) -> Source:
    """The source of this name (as task files write it) for a task. Only its module is imported."""
    match name:
        case "yahoo":
            from ingestion.sources.yahoo import Yahoo

            return Yahoo(settings, task)
        case "sample":
            from ingestion.sources.samples import Sample

            return Sample(task)
        case "airline":
            from ingestion.sources.samples import Airline

            return Airline(task)
        case "csv":
            from ingestion.sources.files import CsvFile

            return CsvFile(settings, task)
        case "parquet":
            from ingestion.sources.files import ParquetFile

            return ParquetFile(settings, task)
    raise ConfigurationError(f"There is no source {name!r}.", "Known sources: yahoo, sample, airline, csv, parquet.")
