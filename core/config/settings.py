"""Settings: WHERE things are. The only reader of the environment; WHAT is done is declared in the task files."""

import json
import os
import sysconfig
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.request import getproxies_environment

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import ConfigurationError

SERVICES_FILE = "services.json"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Settings(BaseSettings):
    """Every address and folder, each from the environment variable `CONTENDER_<FIELD>`, or the one that a field names.

    What is not set and depends on the embedded run (`database_url`, `mlflow_url`) is read from the
    `services.json` that `contender up` leaves in its home.
    """

    model_config = SettingsConfigDict(env_prefix="CONTENDER_", extra="ignore", frozen=True, populate_by_name=True)

    home: Path = Field(
        default=Path(".contender"), description="All state of the embedded run, and every cache and spool."
    )
    tasks: Path = Field(
        default_factory=lambda: default_tasks(),
        description="The folder of the task files; without a folder `tasks`, those that were installed.",
    )
    database_url: str = Field(default="", description="postgresql+psycopg2://… of Contender's own database.")
    schema_name: str = Field(default="", description="Postgres schema of the tables; empty: the database's default.")
    mlflow_url: str = Field(default="", description="Address of the MLflow server.")
    api_url: str = Field(default="", description="Address of the API, for jobs that ask it.")
    features_url: str = Field(default="", description="Address of the features service, for jobs that ask it.")
    ingestion_url: str = Field(default="", description="Address of the ingestion service, for jobs that ask it.")
    admin_token: str = Field(
        default="", repr=False, description="Secret of an admin token that an installation has made."
    )
    trainer_token: str = Field(
        default="", repr=False, description="Secret of a trainer token that an installation has made."
    )
    yahoo_url: str = Field(
        default="", description="Where Yahoo's chart API is reached, for a mirror; empty: Yahoo itself."
    )
    api_host: str = Field(default="127.0.0.1", description="Interface on which the API listens.")
    api_port: int = Field(default=8000, ge=1, le=65535, description="Port of the API.")
    api_workers: int = Field(default=2, ge=1, le=64, description="Worker processes of the API.")
    features_host: str = Field(default="127.0.0.1", description="Interface on which the features service listens.")
    features_port: int = Field(default=8001, ge=1, le=65535, description="Port of the features service.")
    ingestion_host: str = Field(default="127.0.0.1", description="Interface on which the ingestion service listens.")
    ingestion_port: int = Field(default=8002, ge=1, le=65535, description="Port of the ingestion service.")
    n_lags: int = Field(
        default=12,
        ge=1,
        le=1000,
        validation_alias="N_LAGS",
        description="How many lags the features service answers with.",
    )
    model_name: str = Field(
        default="",
        validation_alias="MODEL_NAME",
        description="The contender that learns and serves the task `live`; empty: the one its file names.",
    )
    mlflow_host: str = Field(default="127.0.0.1", description="Interface on which a cluster's MLflow server listens.")
    mlflow_names: str = Field(
        default="", description="Names, with commas between them, by which clients call a cluster's MLflow server."
    )
    mlflow_backend_url: str = Field(
        default="",
        repr=False,
        validation_alias="MLFLOW_BACKEND_STORE_URI",
        description="postgresql+psycopg2://… of a cluster's MLflow database.",
    )
    mlflow_artifacts: str = Field(
        default="",
        description="Where MLflow keeps artifacts, such as s3://BUCKET; empty: a folder of the home.",
    )
    postgres_password: str = Field(
        default="",
        repr=False,
        validation_alias="POSTGRES_PASSWORD",
        description="Password of the superuser of a cluster's PostgreSQL.",
    )
    mlflow_port: int = Field(default=5000, ge=1, le=65535, description="Port of the embedded MLflow server.")
    alias_poll_seconds: float = Field(default=2.0, gt=0, description="How often a worker reads the aliases of MLflow.")
    rate_limit: str = Field(
        default="600000/minute",
        pattern="^[1-9][0-9]*/(second|minute|hour)$",
        description="Requests that a worker takes from one token, or from one address without; reading is not counted.",
    )
    rate_limit_storage: str = Field(
        default="",
        repr=False,
        pattern="^($|rediss?://)",
        description="redis://… where all workers count together; empty: each counts for itself.",
    )
    clock_file: str = Field(
        default="",
        description="File with the API's present instant, which `--accelerate` moves; empty: the machine's clock.",
    )
    clock_start: datetime | None = Field(
        default=None,
        description="Instant at which a replay's clock begins; empty: no replay, the machine's clock.",
    )
    clock_since: datetime | None = Field(default=None, description="When the replay began, by the machine's clock.")
    clock_day_seconds: float = Field(default=300.0, gt=0, description="How long a day of the replay lasts.")
    code_version: str = Field(default="", description="Commit of the running code, when it is not a git checkout.")
    log_format: str = Field(default="console", pattern="^(console|json)$", description="How log lines are written.")

    @field_validator("clock_start", "clock_since", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def cache(self) -> Path:
        """The folder for caches of clients (yfinance, matplotlib), which may be lost at any time."""
        return self.home / "cache"

    @property
    def lake(self) -> Path:
        """The folder of the feature lake: Parquet snapshots of datasets."""
        return self.home / "lake"

    @property
    def bundles(self) -> Path:
        """The folder where the API keeps the last good model of each task."""
        return self.home / "bundles"

    @property
    def spool(self) -> Path:
        """The folder where prediction rows wait while Postgres is away."""
        return self.home / "spool"

    def require_database_url(self) -> str:
        """The database's URL, or an error that says how to get one."""
        if not self.database_url:
            raise ConfigurationError(
                f"No database is known: CONTENDER_DATABASE_URL is not set and {self.home / SERVICES_FILE} names none.",
                "Start the embedded services with `make up`, or set CONTENDER_DATABASE_URL.",
            )
        return self.database_url

    def require_mlflow_url(self) -> str:
        """The MLflow server's address, or an error that says how to get one."""
        if not self.mlflow_url:
            raise ConfigurationError(
                f"No MLflow is known: CONTENDER_MLFLOW_URL is not set and {self.home / SERVICES_FILE} names none.",
                "Start the embedded services with `make up`, or set CONTENDER_MLFLOW_URL.",
            )
        return self.mlflow_url


def default_tasks() -> Path:
    """The folder `tasks` of the working directory, or, where there is none, the task files of an installed copy."""
    here, installed = Path("tasks"), Path(sysconfig.get_path("data"), "share", "contender", "tasks")
    return installed if installed.is_dir() and not here.is_dir() else here


def load_settings() -> Settings:
    """Read the environment, then fill in addresses from the `services.json` of a running embedded stack.

    Every process begins here, so this is also where its requests to this machine are kept from any proxy.
    """
    keep_loopback_from_proxies()
    try:
        settings = Settings()
    except ValidationError as error:
        messages = "; ".join(f"{variable(str(e['loc'][0]))}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(
            f"The environment holds settings that cannot be used: {messages}.", "Correct or unset them."
        ) from None
    home = settings.home.expanduser().resolve()
    settings = settings.model_copy(update={"home": home, "tasks": settings.tasks.expanduser().resolve()})
    services = home / SERVICES_FILE
    if services.exists():
        known = read_services(home)
        missing: dict[str, str] = {
            key: known[key] for key in ("database_url", "mlflow_url") if key in known and not getattr(settings, key)
        }
        settings = settings.model_copy(update=missing)
    return settings


def read_services(home: Path) -> dict[str, Any]:
    """The content of `services.json`. Raises ConfigurationError when the file cannot be parsed."""
    path = home / SERVICES_FILE
    try:
        known = json.loads(path.read_text())
    except ValueError:
        raise unreadable_services(path) from None
    if not isinstance(known, dict):
        raise unreadable_services(path)
    return known


def unreadable_services(path: Path) -> ConfigurationError:
    """The error for a services file that something else has changed."""
    return ConfigurationError(
        f"{path}, in which `contender up` writes down what runs, cannot be understood.",
        "Delete it, end what listens on the ports of its services, and start again; no data are in it.",
    )


def variable(name: str) -> str:
    """The environment variable of a setting, whether it is named by its field or by the variable itself.

    >>> variable("api_port"), variable("n_lags"), variable("N_LAGS")
    ('CONTENDER_API_PORT', 'N_LAGS', 'N_LAGS')
    """
    field = Settings.model_fields.get(name.lower())
    named = field.validation_alias if field is not None else None
    return named if isinstance(named, str) else f"CONTENDER_{name.upper()}"


def child_environment(settings: Settings, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a process we start: ours, the settings made explicit, and `extra`."""
    explicit = {variable(name): str(value) for name, value in settings.model_dump().items() if value not in (None, "")}
    return {**os.environ, **explicit, **(extra or {})}


def keep_loopback_from_proxies() -> None:
    """Adds this machine to the exceptions of a proxy that the environment names, for every library and child process.

    Without one nothing is set: on macOS an exception alone would hide the system's own proxy.
    """
    proxies = getproxies_environment()
    exceptions = [host.strip() for host in proxies.pop("no", "").split(",") if host.strip()]
    if proxies and "*" not in exceptions:
        listed = ",".join([*exceptions, *(host for host in _LOOPBACK if host not in exceptions)])
        export({"NO_PROXY": listed, "no_proxy": listed})  # where both are set, libraries read the lower one


def point_caches(settings: Settings) -> None:
    """Sends the caches that libraries keep in a user's home folder to ours, which is known to be writable."""
    export({"MPLCONFIGDIR": str(settings.cache / "matplotlib")})


def export(variables: Mapping[str, str]) -> None:
    """Sets variables that a library reads from the environment and offers no argument for."""
    os.environ.update(variables)
