"""`python -m contender.cluster.stream`: pass one observation through ingestion, features, prediction and learning.

It may be killed anywhere and started again: the observation is handed out again when its lease expires, and no later
one before it; the lag buffer is checked for the value before it is added, and the model learns an `id` once.
"""

import sys

from contender.cluster.service_client import NO_CONTENT, NOT_FOUND, ServiceClient
from core.config.settings import Settings
from core.jobs.runner import run_command

LEASE_SECONDS = 120  # longer than a step takes, and short enough for a killed one to be repeated soon
WAIT_SECONDS = 60
SERIES = "airline"


def step(services: ServiceClient, series: str = SERIES) -> str:
    """Pass one observation through the services, and report the result."""
    following = f"{services.ingestion}/next?series={series}&lease={LEASE_SECONDS}&in_order=true"
    status, observation = services.request("GET", following)
    if status == NO_CONTENT and "wait_seconds" in observation:
        return f"an observation of {series} is leased already; it comes again when the lease expires"
    if status == NO_CONTENT:
        return f"no more observations of {series}: POST {services.ingestion}/reset starts again from the first"
    number, target = observation["observation_id"], observation["target"]
    features = _features(services, series, number, target)
    row = {"id": str(number), "features": features, "target": target}
    _, learned = services.request("POST", f"{services.api}/predict_learn", row)
    return (
        f"{series} {observation['input']}: predicted {learned['prediction']}, was {target}; "
        f"{len(features)} features, {observation['remaining']} remain"
    )


def _features(services: ServiceClient, series: str, number: int, target: float) -> dict[str, float]:
    """The lags before an observation, whose value is added to the lag buffer unless an earlier attempt did that."""
    status, buffer = services.request("GET", f"{services.features}/series/{series}", may_be_absent=True)
    count, values = (0, []) if status == NOT_FOUND else (buffer["count"], buffer["values"])
    # An attempt that was killed after this addition is found by the value at its place.
    later = count - number  # values that were added after this one
    if 0 <= later < len(values) and values[-1 - later] == target:
        _, info = services.request("GET", f"{services.features}/info")
        before = values[: len(values) - 1 - later][::-1][: info["n_lags"]]
        return {f"in_{lag}": value for lag, value in enumerate(before, 1)}
    _, row = services.request("POST", f"{services.features}/add", {"series_id": series, "value": target})
    found: dict[str, float] = row["features"]
    return found


def run(settings: Settings) -> str:
    """Pass one observation on, once the services answer."""
    services = ServiceClient.of(settings)
    services.await_all(WAIT_SECONDS)
    return step(services)


if __name__ == "__main__":
    sys.exit(run_command("contender.cluster.stream", __doc__ or "", run))
