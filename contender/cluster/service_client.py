"""A client of an installation's three services, whose failures are errors with the exit code for a scheduler."""

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
    """The addresses of the three services, and the token for requests that need one."""

    ingestion: str
    features: str
    api: str
    token: str

    @classmethod
    def of(cls, settings: Settings) -> "ServiceClient":
        """The addresses in the settings; where one is not set, this machine."""
        here = "http://127.0.0.1:{}"
        return cls(
            settings.ingestion_url or here.format(settings.ingestion_port),
            settings.features_url or here.format(settings.features_port),
            settings.api_url or here.format(settings.api_port),
            settings.trainer_token,
        )

    def await_all(self, seconds: float) -> None:
        """Return when all three answer; raise UnreachableError when one does not within the time."""
        for url in (self.ingestion, self.features, self.api):
            patiently(seconds)(self.request, "GET", f"{url}/health/live")

    def request(
        self, method: str, url: str, body: dict[str, Any] | None = None, *, may_be_absent: bool = False
    ) -> tuple[int, dict[str, Any]]:
        """Send a request, and return the HTTP status and the JSON object of the answer.

        Args:
            method: of HTTP.
            url: of the endpoint.
            body: sent as JSON.
            may_be_absent: whether 404 is an answer rather than an error.

        Raises:
            UnreachableError: no answer, or one that may be another on the next try (5xx, 429).
            DataRefusedError: the service refused the body.
            NotFoundError: 404.
            ConfigurationError: any other status, such as that for a missing token.

        """
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            response = requests.request(method, url, json=body, headers=headers, timeout=_SECONDS)
            answer = response.json() if response.content else _empty(response)
        except (requests.RequestException, ValueError) as error:
            raise UnreachableError(f"{url} did not answer: {error}.", "It is tried again.") from None
        status = response.status_code
        if not isinstance(answer, dict):
            raise UnreachableError(
                f"{url} answered {status} with something else than a JSON object.", "It is tried again."
            )
        if status == NOT_FOUND and not may_be_absent:
            raise NotFoundError(f"{url} answered 404: {answer.get('detail', '')}", "Check its address.")
        if status >= _SERVER or status == _TOO_MANY:
            raise UnreachableError(f"{url} answered {status}: {answer.get('detail', '')}", "It is tried again.")
        if status in _REFUSED:
            raise DataRefusedError(f"{url} refused what was sent: {answer.get('detail', '')}")
        if status not in (200, 201, NO_CONTENT, NOT_FOUND):
            raise ConfigurationError(
                f"{url} answered {status}: {answer.get('detail', '')}",
                "Check that CONTENDER_TRAINER_TOKEN is a token that is not revoked.",
            )
        return status, answer


def _empty(response: requests.Response) -> dict[str, Any]:
    """The content of an answer without a body: `wait_seconds` from the header Retry-After, where there is one."""
    seconds = response.headers.get("Retry-After", "")
    return {"wait_seconds": int(seconds)} if seconds.isdigit() else {}
