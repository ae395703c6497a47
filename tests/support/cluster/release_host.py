"""A stand-in for the host of k3s's releases: small files in the place of the real ones, and downloads that are cut."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

VERSION = "v1.99.1+k3s1"
K3S = """\
#!/bin/sh
# Stands for k3s: writes down how it was called, and answers what tests/e2e/vagrant lays out for it.
echo "$(basename "$0") $*" >>/var/log/k3s-calls
case "$*" in
  "kubectl get nodes --no-headers") cat /etc/stand-in/nodes 2>/dev/null ;;
  *"jsonpath={range .items[*]}"*) cat /etc/stand-in/node-images 2>/dev/null ;;
  *"get job bootstrap"*) cat /etc/stand-in/bootstrap 2>/dev/null ;;
  *kustomize*) cat /etc/stand-in/rendered ;;
  *"get secret"*) : ;;  # there is none: --ignore-not-found
  *"apply -f -"*) cat >>/var/log/applied ;;
esac
exit 0
"""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class ReleaseHost:
    """What is released, what was asked for, and whether downloads are cut half-way."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[str] = []
        self.cut = False
        self.files = {
            "k3s": K3S.encode(),
            "k3s-arm64": K3S.encode() + b"# arm64\n",
            "k3s-airgap-images-amd64.tar.zst": b"amd64 images\n" * 100,
            "k3s-airgap-images-arm64.tar.zst": b"arm64 images\n" * 100,
        }
        for architecture, names in {"amd64": ["k3s"], "arm64": ["k3s-arm64"]}.items():
            listed = [*names, f"k3s-airgap-images-{architecture}.tar.zst"]
            sums = "".join(f"{sha256(self.files[name])}  {name}\n" for name in listed)
            self.files[f"sha256sum-{architecture}.txt"] = sums.encode()

    def lock(self) -> str:
        """A lock file of this release."""
        sums = (f"{sha256(content)}  {name}\n" for name, content in self.files.items() if name.startswith("k3s"))
        return f"version {VERSION}\n" + "".join(sums)


@contextmanager
def release_host() -> Iterator[ReleaseHost]:
    """Serves a release on loopback until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            version, _, name = unquote(self.path).strip("/").rpartition("/")
            host.asked.append(name)
            content = host.files.get(name)
            if content is None or version not in (VERSION, "static"):
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if host.cut else content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    host = ReleaseHost(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield host
    server.shutdown()
    server.server_close()
    thread.join()
