"""`python -m contender.cluster.stream`: one observation through all three services: handed out, made a row, predicted,
learned.

It may die anywhere and be started again: the observation comes back when its lease runs out, and none that is later is
handed out before it; the lag buffer is asked whether it has the value already, and the model learns an `id` once.
"""

import sys

from contender.cluster.service_client import NO_CONTENT, NOT_FOUND, ServiceClient
from core.config.settings import Settings
from core.jobs.runner import run_command

LEASE_SECONDS = 120
WAIT_SECONDS = 60
SERIES = "airline"


def step(services: ServiceClient, series: str = SERIES) -> str:
    """Takes one observation on its way, and says what became of it."""
    asked = f"{services.ingestion}/next?series={series}&lease={LEASE_SECONDS}&in_order=true"
    status, observation = services.ask("GET", asked)
    if status == NO_CONTENT and "wait_seconds" in observation:
        return f"an observation of {series} is on its way already; if it is not learned, it comes back in time"
    if status == NO_CONTENT:
        return f"no more observations of {series}: POST {services.ingestion}/reset begins anew"
    number, target = observation["observation_id"], observation["target"]
    features = _features(services, series, number, target)
    row = {"id": str(number), "features": features, "target": target}
    _, told = services.ask("POST", f"{services.api}/predict_learn", row)
    return (
        f"{series} {observation['input']}: predicted {told['prediction']}, was {target}; "
        f"{len(features)} features, {observation['remaining']} remain"
    )


def _features(services: ServiceClient, series: str, number: int, target: float) -> dict[str, float]:
    """The lags before an observation, whose value is added unless an earlier attempt has done so."""
    status, kept = services.ask("GET", f"{services.features}/series/{series}", may_be_absent=True)
    count, values = (0, []) if status == NOT_FOUND else (kept["count"], kept["values"])
    later = count - number  # values that came after this one
    if 0 <= later < len(values) and values[-1 - later] == target:
        _, info = services.ask("GET", f"{services.features}/info")
        before = values[: len(values) - 1 - later][::-1][: info["n_lags"]]
        return {f"in_{lag}": value for lag, value in enumerate(before, 1)}
    _, row = services.ask("POST", f"{services.features}/add", {"series_id": series, "value": target})
    found: dict[str, float] = row["features"]
    return found


def run(settings: Settings) -> str:
    """One step between the services of this installation, once they are there."""
    services = ServiceClient.of(settings)
    services.await_all(WAIT_SECONDS)
    return step(services)


if __name__ == "__main__":
    sys.exit(run_command("contender.cluster.stream", __doc__ or "", run))
