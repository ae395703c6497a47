"""`python -m contender.stream`: one observation through all three services: handed out, made a row, predicted, learned.

It may die anywhere and be started again: the observation comes back when its lease runs out, the lag buffer is asked
whether it has the value already, and the model learns an `id` once.
"""

import sys
from dataclasses import dataclass
from typing import Any

import requests

from core.errors import ConfigurationError, DataRefusedError, UnreachableError
from core.jobs import run_command
from core.settings import Settings

LEASE_SECONDS = 120
_SECONDS = 30
_NO_CONTENT, _NOT_FOUND, _SERVER = 204, 404, 500
_TOO_MANY = 429
_REFUSED = (400, 409, 413, 422)
SERIES = "airline"


@dataclass(frozen=True)
class Services:
    """The three services, by what was told of them."""

    ingestion: str
    features: str
    api: str
    token: str

    @classmethod
    def of(cls, settings: Settings) -> "Services":
        """Where the settings say that they are; on this machine, where nothing is said."""
        here = "http://127.0.0.1:{}"
        return cls(
            settings.ingestion_url or here.format(settings.ingestion_port),
            settings.features_url or here.format(settings.features_port),
            settings.api_url or here.format(settings.api_port),
            settings.trainer_token,
        )

    def ask(self, method: str, url: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """The status and the answer, where it is one; raises what a scheduler should know."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            response = requests.request(method, url, json=body, headers=headers, timeout=_SECONDS)
            told = response.json() if response.content else {}
        except (requests.RequestException, ValueError) as error:
            raise UnreachableError(f"{url} did not answer: {error}.", "It is asked again.") from None
        status = response.status_code
        if status >= _SERVER or status == _TOO_MANY:
            raise UnreachableError(f"{url} answered {status}: {told.get('detail', '')}", "It is asked again.")
        if status in _REFUSED:
            raise DataRefusedError(f"{url} refused the observation: {told.get('detail', '')}")
        if status not in (200, 201, _NO_CONTENT, _NOT_FOUND):
            raise ConfigurationError(
                f"{url} answered {status}: {told.get('detail', '')}",
                "See that CONTENDER_TRAINER_TOKEN is a live token.",
            )
        return status, told


def step(services: Services, series: str = SERIES) -> str:
    """Takes one observation on its way, and says what became of it."""
    status, observation = services.ask("GET", f"{services.ingestion}/next?series={series}&lease={LEASE_SECONDS}")
    if status == _NO_CONTENT:
        return f"no more observations of {series}: POST {services.ingestion}/reset begins anew"
    number, target = observation["observation_id"], observation["target"]
    features = _features(services, series, number, target)
    row = {"id": str(number), "features": features, "target": target}
    _, told = services.ask("POST", f"{services.api}/predict_learn", row)
    return (
        f"{series} {observation['input']}: predicted {told['prediction']}, was {target}; "
        f"{len(features)} features, {observation['remaining']} remain"
    )


def _features(services: Services, series: str, number: int, target: float) -> dict[str, float]:
    """The lags before an observation, whose value is added unless an earlier attempt has done so."""
    status, kept = services.ask("GET", f"{services.features}/series/{series}")
    count, values = (0, []) if status == _NOT_FOUND else (kept["count"], kept["values"])
    later = count - number  # values that came after this one
    if 0 <= later < len(values) and values[-1 - later] == target:
        _, info = services.ask("GET", f"{services.features}/info")
        before = values[: len(values) - 1 - later][::-1][: info["n_lags"]]
        return {f"in_{lag}": value for lag, value in enumerate(before, 1)}
    _, row = services.ask("POST", f"{services.features}/add", {"series_id": series, "value": target})
    found: dict[str, float] = row["features"]
    return found


def run(settings: Settings) -> str:
    """One step between the services of this installation."""
    return step(Services.of(settings))


if __name__ == "__main__":
    sys.exit(run_command("contender.stream", __doc__ or "", run))
