"""How jobs and services get at the model registry: by the scheme of the address in the settings."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from core.config.settings import Settings
from training.registry.base import JOB, ModelRegistry, RunTracker, Timeouts
from training.registry.client import MlflowRegistry
from training.registry.file_registry import FileRegistry, FileTracker
from training.registry.tracking import MlflowTracker

if TYPE_CHECKING:
    from features.dataset import Dataset

_FOLDER = "file"


def open_registry(settings: Settings, timeouts: Timeouts = JOB) -> ModelRegistry:
    """The model registry: MLflow's at `http(s)://…`, a folder's, for tests, at `file:///…`.

    Opening it asks nothing of the server. Raises ConfigurationError when the settings name none.
    """
    url = settings.require_mlflow_url()
    if _is_folder(url):
        return FileRegistry(url)
    return MlflowRegistry(url, timeouts)


def open_tracker(settings: Settings, experiment: str, dataset: "Dataset | None" = None) -> RunTracker:
    """The tracker of an experiment, which is made when there is none.

    Args:
        settings: where MLflow is.
        experiment: its name, that of the task.
        dataset: the input of its runs, where they have one.

    Raises:
        RegistryUnreachableError: MLflow does not answer.
        ConfigurationError: the settings name none.
    """
    url = settings.require_mlflow_url()
    if _is_folder(url):
        return FileTracker(url, experiment, dataset)
    return MlflowTracker.open(url, experiment, dataset)


def _is_folder(url: str) -> bool:
    return urlsplit(url).scheme == _FOLDER
