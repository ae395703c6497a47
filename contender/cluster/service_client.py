"""The three services of an installation, as a job asks them: what they answer, or an error that a scheduler knows."""

from dataclasses import dataclass
from typing import Any

import requests

from core.config.settings import Settings
from core.db.engine import patiently
from core.errors import ConfigurationError, DataRefusedError, NotFoundError, UnreachableError

NO_CONTENT, NOT_FOUND = 204, 404
_SECONDS = 30
_SERVER, _TOO_MANY = 500, 429
_REFUSED = (400, 409, 413, 422)


@dataclass(frozen=True)
class ServiceClient:
    """The three services, by what was told of them."""

    ingestion: str
    features: str
    api: str
    token: str

    @classmethod
    def of(cls, settings: Settings) -> "ServiceClient":
        """Where the settings say that they are; on this machine, where nothing is said."""
        here = "http://127.0.0.1:{}"
        return cls(
            settings.ingestion_url or here.format(settings.ingestion_port),
            settings.features_url or here.format(settings.features_port),
            settings.api_url or here.format(settings.api_port),
            settings.trainer_token,
        )

    def await_all(self, seconds: float) -> None:
        """Returns when all three are there; raises UnreachableError when one is not, after so long."""
        for url in (self.ingestion, self.features, self.api):
            patiently(seconds)(self.ask, "GET", f"{url}/health/live")

    def ask(
        self, method: str, url: str, body: dict[str, Any] | None = None, *, may_be_absent: bool = False
    ) -> tuple[int, dict[str, Any]]:
        """The status and the answer, where it is one; raises what a scheduler should know."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            response = requests.request(method, url, json=body, headers=headers, timeout=_SECONDS)
            told = response.json() if response.content else _wait(response)
        except (requests.RequestException, ValueError) as error:
            raise UnreachableError(f"{url} did not answer: {error}.", "It is asked again.") from None
        status = response.status_code
        if not isinstance(told, dict):
            raise UnreachableError(f"{url} answered {status} with what is no answer of ours.", "It is asked again.")
        if status == NOT_FOUND and not may_be_absent:
            raise NotFoundError(f"{url} answered 404: {told.get('detail', '')}", "See that its address is right.")
        if status >= _SERVER or status == _TOO_MANY:
            raise UnreachableError(f"{url} answered {status}: {told.get('detail', '')}", "It is asked again.")
        if status in _REFUSED:
            raise DataRefusedError(f"{url} refused what was sent: {told.get('detail', '')}")
        if status not in (200, 201, NO_CONTENT, NOT_FOUND):
            raise ConfigurationError(
                f"{url} answered {status}: {told.get('detail', '')}",
                "See that CONTENDER_TRAINER_TOKEN is a live token.",
            )
        return status, told


def _wait(response: requests.Response) -> dict[str, Any]:
    """What an empty answer says: how long to wait, where it does."""
    seconds = response.headers.get("Retry-After", "")
    return {"wait_seconds": int(seconds)} if seconds.isdigit() else {}
