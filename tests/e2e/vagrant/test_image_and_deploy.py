"""What follows k3s: the image that the control plane builds, its way to the workers, and the overlay with its secrets.

`buildah` and `k3s` are stand-ins: tested is what the steps do around them, in order, once, and when one fails.
"""

import pytest

from tests.support.cluster.machine import Machine
from tests.support.cluster.release_host import ReleaseHost, sha256

IMAGE = "docker.io/library/contender:0.1.0"
OFFERED = "/var/lib/rancher/k3s/server/static/contender"
IMPORTED = "/var/lib/rancher/k3s/agent/images/contender.tar"


@pytest.fixture
def control(node: Machine, releases: ReleaseHost) -> Machine:
    """A control plane whose k3s is up, with one worker that has joined."""
    node.write("/usr/local/bin/k3s", releases.files["k3s"].decode(), 0o755)
    node.write("/usr/local/bin/kubectl", '#!/bin/sh\nexec k3s kubectl "$@"\n', 0o755)
    node.write("/etc/stand-in/build", "layers of the image\n")
    node.write("/etc/stand-in/rendered", f'      - image: "{IMAGE.removeprefix("docker.io/library/")}"\n')
    node.write("/etc/stand-in/nodes", "control Ready control-plane\nworker-1 Ready <none>\n")
    node.write("/etc/stand-in/node-images", f'["{IMAGE}"]\n["docker.io/other:1"] ["{IMAGE}"]\n')
    node.write("/etc/stand-in/bootstrap", "Complete ")
    node.path("/var/lib/contender").mkdir(parents=True, exist_ok=True)
    return node


def calls(machine: Machine, program: str, *words: str) -> list[str]:
    return [line for line in machine.lines(f"/var/log/{program}-calls") if all(word in line for word in words)]


def test_the_image_is_built_under_the_overlays_name_imported_and_offered_with_its_checksum(control: Machine) -> None:
    done = control.run("40-image.sh", BASE_IMAGE="mirror.example/python:3.11-slim")

    assert done.returncode == 0, done.stderr
    (build,) = calls(control, "buildah", "bud")
    assert f"--tag {IMAGE}" in build
    assert "--build-arg PYTHON=mirror.example/python:3.11-slim" in build
    archive = control.path(f"{OFFERED}/contender.tar").read_bytes()
    assert control.lines(f"{OFFERED}/contender.tar.sha256") == [f"{sha256(archive)}  contender.tar"]
    assert control.path(IMPORTED).read_bytes() == archive
    assert calls(control, "k3s", "ctr images import")


def test_an_image_that_did_not_change_is_not_handed_out_again(control: Machine) -> None:
    assert control.run("40-image.sh").returncode == 0
    before = {name: about for name, about in control.state().items() if not name.endswith("build.log")}

    again = control.run("40-image.sh")

    assert "the one that was imported before" in again.stdout
    assert {name: about for name, about in control.state().items() if not name.endswith("build.log")} == before
    assert len(calls(control, "k3s", "ctr images import")) == 1


def test_a_build_that_fails_shows_its_last_lines_and_offers_nothing_and_the_next_run_mends_it(control: Machine) -> None:
    control.write("/etc/stand-in/build-fails", "")
    failed = control.run("40-image.sh")
    assert failed.returncode != 0
    assert "layers of the image" in failed.stderr
    assert "vagrant provision control goes on" in failed.stderr
    assert not control.path(OFFERED).exists()

    control.path("/etc/stand-in/build-fails").unlink()

    assert control.run("40-image.sh").returncode == 0
    assert control.path(f"{OFFERED}/contender.tar.sha256").exists()


def test_an_overlay_without_our_image_is_refused_by_name(control: Machine) -> None:
    control.write("/etc/stand-in/rendered", "image: docker.io/library/other:1\n")

    refused = control.run("40-image.sh")

    assert refused.returncode != 0
    assert "must run one image named contender" in refused.stderr


@pytest.fixture
def worker(node: Machine, releases: ReleaseHost) -> Machine:
    """A worker that has joined and asks the stand-in, which offers an image."""
    assert node.run("40-image-follow.sh").returncode == 0
    node.write("/usr/local/bin/k3s", releases.files["k3s"].decode(), 0o755)
    node.write("/var/lib/rancher/k3s/agent/server-ca.crt", "a certificate\n")
    offer(releases, b"an image")
    return node


def offer(releases: ReleaseHost, image: bytes) -> None:
    releases.files["contender.tar"] = image
    releases.files["contender.tar.sha256"] = f"{sha256(image)}  contender.tar\n".encode()


def fetch(worker: Machine, releases: ReleaseHost) -> tuple[int, str]:
    done = worker.call("/usr/local/sbin/contender-image", environment={"IMAGE_URL": f"{releases.url}/static"})
    return done.returncode, done.stdout + done.stderr


def test_a_worker_follows_the_image_by_a_timer_that_is_set_up_once(node: Machine) -> None:
    first = node.run("40-image-follow.sh", CONTROL_IP="192.168.56.10")
    before = node.state()
    again = node.run("40-image-follow.sh", CONTROL_IP="192.168.56.10")

    assert first.returncode == again.returncode == 0, first.stderr
    assert node.state() == before
    assert node.lines("/etc/contender/image.env") == ["IMAGE_URL=https://192.168.56.10:6443/static/contender"]
    assert node.lines("/var/log/systemctl-calls") == [
        "daemon-reload",
        "enable --quiet contender-image.timer",
        "restart contender-image.timer",
    ]


def test_a_worker_fetches_the_image_once_and_again_when_it_changes(worker: Machine, releases: ReleaseHost) -> None:
    assert fetch(worker, releases)[0] == 0
    assert worker.path(IMPORTED).read_bytes() == b"an image"
    assert fetch(worker, releases)[0] == 0
    assert releases.asked.count("contender.tar") == 1

    offer(releases, b"a newer image")

    assert fetch(worker, releases)[0] == 0
    assert worker.path(IMPORTED).read_bytes() == b"a newer image"
    assert len(calls(worker, "k3s", "ctr images import")) == 2


def test_a_worker_that_has_not_joined_asks_nobody(worker: Machine, releases: ReleaseHost) -> None:
    worker.path("/var/lib/rancher/k3s/agent/server-ca.crt").unlink()

    assert fetch(worker, releases) == (0, "This machine has not joined the cluster yet.\n")
    assert releases.asked == []


def test_an_image_that_is_not_what_was_offered_is_thrown_away(worker: Machine, releases: ReleaseHost) -> None:
    releases.files["contender.tar"] = b"something else"

    code, said = fetch(worker, releases)

    assert code == 1
    assert "did not arrive as it was offered" in said
    assert not worker.path(IMPORTED).exists()
    assert not calls(worker, "k3s", "ctr")
    assert not list(worker.path("/var/lib/contender").glob("image.*"))


def test_before_the_control_plane_offers_anything_a_worker_waits(worker: Machine, releases: ReleaseHost) -> None:
    del releases.files["contender.tar.sha256"]

    assert fetch(worker, releases) == (0, "The control plane offers no image yet.\n")


def test_the_overlay_is_applied_with_secrets_that_the_image_made(control: Machine) -> None:
    assert control.run("40-image.sh").returncode == 0

    done = control.run("50-deploy.sh")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 machines are Ready" in done.stdout
    assert "2 machines have the image" in done.stdout
    (made, *_) = calls(control, "buildah", "run", "--only contender-secrets")
    assert "--env CONTENDER_HOME=/secrets" in made
    assert "kind: Secret" in control.lines("/var/log/applied")
    assert IMAGE.removeprefix("docker.io/library/") in "".join(control.lines("/var/log/applied"))
    assert not calls(control, "k3s", "rollout restart")


def test_a_new_image_under_the_same_name_starts_the_pods_anew(control: Machine) -> None:
    for content in ("layers of the image\n", "other layers\n"):
        control.write("/etc/stand-in/build", content)
        assert control.run("40-image.sh").returncode == 0
        assert control.run("50-deploy.sh").returncode == 0

    assert len(calls(control, "k3s", "rollout restart")) == 1


def test_a_bootstrap_job_that_failed_ends_the_step_with_what_to_type(control: Machine) -> None:
    assert control.run("40-image.sh").returncode == 0
    control.write("/etc/stand-in/bootstrap", "Failed ")

    failed = control.run("50-deploy.sh")

    assert failed.returncode != 0
    assert "The bootstrap Job has failed." in failed.stderr
    assert "logs job/bootstrap" in failed.stderr


def test_when_all_is_well_the_last_step_says_what_to_type(control: Machine) -> None:
    control.write("/usr/local/bin/curl", '#!/bin/sh\necho "$*" >>/var/log/curl-calls\n', 0o755)

    done = control.run("60-healthy.sh", FIRST_WORKER_IP="192.168.56.21")

    assert done.returncode == 0, done.stderr
    assert "\n  curl http://192.168.56.21:30951/predictionForTomorrow\n" in done.stdout
    assert calls(control, "curl", "http://192.168.56.21:30951/predictionForTomorrow")
