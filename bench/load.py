"""Load over HTTP for some seconds, and how it was answered."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

CONNECTIONS = 16
POSTS = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local bodies, requests, turn = {%s}, {}, 0
function init()
  for i, body in ipairs(bodies) do requests[i] = wrk.format(nil, nil, nil, body) end
end
function request()
  turn = turn %% #requests + 1
  return requests[turn]
end
"""
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Load:
    """One round: requests per second, and the latency that half and 99 of 100 requests stayed under (ms)."""

    rate: float
    p50: float
    p99: float
    failed: int

    def cells(self) -> tuple[str, str, str, str]:
        return f"{self.rate:,.0f}", f"{self.p50:.2f}", f"{self.p99:.1f}", str(self.failed)


def load(url: str, seconds: int, connections: int = CONNECTIONS, bodies: Sequence[str] = ()) -> Load:
    """GETs, or POSTs of JSON bodies in turn, by wrk; by a generator in Python where wrk is missing (GET only)."""
    if not shutil.which("wrk"):
        if bodies:
            raise SystemExit("This benchmark needs wrk (Debian: apt-get install wrk).")
        return _in_python(url, seconds, connections)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if bodies:
            script.write(POSTS % ", ".join(f"[==[{body}]==]" for body in bodies))
        script.flush()
        output = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script.name, url],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    quantiles = {
        percent: float(number) * UNITS[unit]
        for percent, number, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", output)
    }
    failed = sum(int(count) for count in re.findall(r"Non-2xx or 3xx responses: (\d+)", output))
    failed += sum(int(n) for line in re.findall(r"Socket errors: (.*)", output) for n in re.findall(r"\d+", line))
    (rate,) = re.findall(r"Requests/sec:\s+([\d.]+)", output)
    return Load(float(rate), quantiles["50"], quantiles["99"], failed)


def generator_name(console: Console) -> str:
    """The name of the load generator; warns on the console where wrk is missing."""
    if shutil.which("wrk"):
        return "wrk -t1"
    console.print(
        "[red]wrk is not installed (Debian: apt-get install wrk).[/red] The generator in Python stands in; it is "
        "the bottleneck: read the ratio as a lower bound where it is near 1, and no rate as a limit."
    )
    return "bench/generator.py"


def _in_python(url: str, seconds: int, connections: int) -> Load:
    """GETs by `bench/generator.py` in a process of its own."""
    output = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("generator.py")), url, str(connections), str(seconds)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return Load(**json.loads(output))
