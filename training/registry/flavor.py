"""The model folder: one MLflow pyfunc for contenders of every kind, and the digest by which it is known.

The folder holds the pickled `Model` (`data/model.pkl`) and names this module as its loader, so a River pipeline, a
forest and a baseline load alike, here and in any notebook of an environment where the project is installed:

    frame = pandas.DataFrame([...], columns=[...])          # the task's feature columns, as floats
    mlflow.pyfunc.load_model("models:/airline@champion").predict(frame)   # P(UP) or the forecast, one a row

A contender of a pushed task learned rows as they were sent, whatever features they had. There a column is a feature,
under the name by which it was sent; a cell without a number (NaN) is a feature that the row does not have; a column
`series_id` with texts names each row's series:

    frame = pandas.DataFrame([{"in_1": 135.0, "in_2": 130.0}])
    mlflow.pyfunc.load_model("models:/live@champion").predict(frame)   # the value or P(1), one a row

NaN is answered where there is no prediction yet. The same model, example and date give the same folder to the byte.
That is what lets a job that was killed recognise its own work in the registry, by a digest it computed itself.
"""

import hashlib
import io
import logging
import math
import tarfile
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from core.config.settings import export
from features.arrays import FeatureRow, Floats
from training.models.base import Model, deserialize, serialize
from training.models.online import DEFAULT_SERIES, Online

if TYPE_CHECKING:
    import pandas as pd

_SERIES = "series_id"
_AS_SENT = "rows_as_sent"
"""The entry of a folder's model configuration by which the loader knows a model that takes rows as they are sent."""
_PICKLE = Path("data") / "model.pkl"
_REQUIREMENTS = ("mlflow", "numpy", "pandas", "river", "scikit-learn")
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "DO_NOT_TRACK": "true",
}


class LoadedModel:
    """What `mlflow.pyfunc.load_model` wraps: takes a frame in the order of the signature, answers one number a row."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, frame: "pd.DataFrame", params: dict[str, object] | None = None) -> Floats:  # noqa: ARG002
        """P(UP) or the forecast of each row of a frame of feature columns; NaN where the model has none yet."""
        return self.model.predict(frame.to_numpy(np.float64))


class LoadedRowModel:
    """What `mlflow.pyfunc.load_model` wraps of a model that takes rows as they are sent."""

    def __init__(self, model: Online) -> None:
        self.model = model

    def predict(self, frame: "pd.DataFrame", params: dict[str, object] | None = None) -> Floats:  # noqa: ARG002
        """The value or P(1) of each row; NaN where the model has none yet."""
        predicted = (self.model.predict(*_row(cells)) for cells in frame.to_dict("records"))
        return np.array([math.nan if value is None else value for value in predicted], dtype=np.float64)


def _load_pyfunc(path: str, config: Mapping[str, object] | None = None) -> LoadedModel | LoadedRowModel:
    """Called by MLflow with the path of the pickle, and the folder's model configuration where it has one."""
    return (
        load_row_model(path) if config and config.get(_AS_SENT) else LoadedModel(deserialize(Path(path).read_bytes()))
    )


def load_row_model(path: str) -> LoadedRowModel:
    """The model in a pickle that takes rows as they are sent. Folders of earlier releases name it as their loader."""
    return LoadedRowModel(deserialize(Path(path).read_bytes()))


def _row(cells: dict[Any, Any]) -> tuple[FeatureRow, str]:
    """The features that a row has, and its series.

    >>> _row({"in_1": 1, "in_2": float("nan"), "series_id": "airline"})
    ({'in_1': 1.0}, 'airline')
    """
    held = dict(cells)
    series = held.pop(_SERIES) if isinstance(held.get(_SERIES), str) else DEFAULT_SERIES
    numbers = {str(name): math.nan if value is None else float(value) for name, value in held.items()}
    return {name: value for name, value in numbers.items() if not math.isnan(value)}, series


def pyfunc() -> ModuleType:
    """The module `mlflow.pyfunc`, set up to fail in seconds when its server is down, to print and to report nothing.

    Its import warns about itself; that warning says nothing about us and is dropped here.
    """
    # Before the import, which reads some of them. It costs 2 to 4 s and 100 MB, so it is done only where it is needed.
    export(_ENVIRONMENT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc
    module: ModuleType = mlflow.pyfunc
    return module


def save(model: Model, folder: Path, feature_names: tuple[str, ...], example: Floats, created: date) -> str:
    """Writes the model's folder and returns its digest. `example`: a few rows, (n, n_features), in task order."""
    import pandas as pd

    names = list(feature_names)
    return _write(
        serialize(model),
        folder,
        created,
        loader_module=__name__,
        signature=_signature([(name, "double", True) for name in names]),
        input_example=pd.DataFrame(example, columns=names),
    )


def save_rows(model: Online, folder: Path, declared: Mapping[str, bool] | None, created: date) -> str:
    """Writes the folder of a model that takes rows as they are sent, and returns its digest.

    Args:
        model: what predicts.
        folder: a new one.
        declared: all features there are, and whether every row must have them; None for any subset of any features.
        created: the date that the folder bears.
    """
    columns = None  # and so no signature: MLflow would drop the columns that are not in it
    if declared is not None:
        columns = [(name, "double", required) for name, required in declared.items()]
        columns += [] if _SERIES in declared else [(_SERIES, "string", False)]
    return _write(
        serialize(model),
        folder,
        created,
        loader_module=__name__,
        model_config={_AS_SENT: True},
        signature=None if columns is None else _signature(columns),
    )


def _signature(columns: Sequence[tuple[str, str, bool]]) -> Any:
    """Columns (name, type, whether it is required) in, one number a row out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    return ModelSignature(
        inputs=Schema([ColSpec(kind, name, required) for name, kind, required in columns]),
        outputs=Schema([TensorSpec(np.dtype(np.float64), (-1,))]),
    )


def _write(content: bytes, folder: Path, created: date, **what: Any) -> str:
    mlflow_pyfunc = pyfunc()
    from mlflow.models import Model as Card

    # An image has no pip; MLflow warns that it cannot name pip's version in a file that nothing of ours reads.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)

    card = Card(
        model_uuid=hashlib.sha256(content).hexdigest()[:32], utc_time_created=f"{created.isoformat()} 00:00:00.000000"
    )
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # MLflow compares the frame's columns with a range
        warnings.filterwarnings("ignore", ".*input example was not provided", UserWarning)
        pickled = Path(scratch) / _PICKLE.name
        pickled.write_bytes(content)
        mlflow_pyfunc.save_model(
            folder,
            data_path=str(pickled),
            mlflow_model=card,
            # Named: inferring them takes MLflow 3 to 6 s a model.
            pip_requirements=[f"{name}=={version(name)}" for name in _REQUIREMENTS],
            **what,
        )
    return folder_digest(folder)


def load_model(folder: Path) -> Model:
    """The model in a folder. It unpickles: check `folder_digest` against the recorded one first."""
    model: Model = deserialize((folder / _PICKLE).read_bytes())
    return model


def folder_digest(folder: Path) -> str:
    """SHA-256 over a folder's files: relative path, length and content of each, sorted by path."""
    state = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        # Lengths and the NUL keep names and contents apart: no other split of them gives the same bytes.
        state.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        state.update(content)
    return state.hexdigest()


def pack(folder: Path) -> bytes:
    """A tar of the folder's files, equal for equal folders."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            content = path.read_bytes()
            # A new entry has no times and owners: those of the disk would make equal folders differ.
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def unpack(content: bytes, folder: Path) -> Path:
    """Writes the files of a packed folder into `folder` and returns it. What would lie outside it is not written."""
    root = folder.resolve()
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:  # not `extractall`: Python 3.11.2 has no filter for it
        for member in tar:
            path, file = (root / member.name).resolve(), tar.extractfile(member)
            if file is not None and member.isfile() and path.is_relative_to(root):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.read())
    return folder
