"""A load generator for machines without wrk: `python bench/generator.py URL CONNECTIONS SECONDS` prints JSON.

Raw sockets with keep-alive in one asyncio loop. It takes about as much processor time as the server it measures.
"""

import asyncio
import json
import statistics
import sys
import time
from urllib.parse import urlsplit


async def one_connection(host: str, port: int, request: bytes, until: float, took: list[float]) -> int:
    reader, writer = await asyncio.open_connection(host, port)
    failed = 0
    while time.perf_counter() < until:
        started = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        took.append((time.perf_counter() - started) * 1000)
        failed += not head.startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()
    return failed


async def generate(url: str, connections: int, seconds: float) -> dict[str, float]:
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    request = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    took: list[float] = []
    until = time.perf_counter() + seconds
    connected = [
        one_connection(parts.hostname or "", parts.port or 80, request, until, took) for _ in range(connections)
    ]
    failed = sum(await asyncio.gather(*connected))
    quantiles = statistics.quantiles(took, n=100)
    return {"rate": len(took) / seconds, "p50": quantiles[49], "p99": quantiles[98], "failed": failed}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(generate(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))))
