"""Each rule of the lint finds what it is for, and finds nothing in an installation that is sound."""

import io
import sys
from typing import Any

import pytest
import yaml

from contender.cluster.secrets import NAME
from core.jobs.runner import EXIT_CODES
from k8s import lint
from k8s.lint import __main__ as command
from k8s.lint import jobs, references
from tests.support.cluster.installations import DIGEST, broken, sound, without
from tests.support.paths import REPOSITORY

JOB = "CronJob/train:spec.jobTemplate.spec"
POD = "Deployment/api:spec.template.spec"
CONTAINER = f"{POD}.containers.0"
FLOW = "CronWorkflow/stream:spec.workflowSpec"


def rules(*given: dict[str, Any]) -> list[dict[str, Any]]:
    return list(given)


def on(action: str, operator: str, *codes: int) -> dict[str, Any]:
    return {"action": action, "onExitCodes": {"operator": operator, "values": list(codes)}}


def test_nothing_is_found_in_a_sound_installation() -> None:
    assert lint.faults(sound()) == []


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("CronJob/train:spec.schedule", None, "give it a schedule"),
        ("CronJob/train:spec.timeZone", None, "set timeZone: Etc/UTC"),
        ("CronJob/train:spec.timeZone", "Europe/Berlin", "set timeZone: Etc/UTC"),
        ("CronJob/train:spec.concurrencyPolicy", "Allow", "set concurrencyPolicy: Forbid"),
        ("CronJob/train:spec.startingDeadlineSeconds", None, "set startingDeadlineSeconds"),
        ("CronJob/train:spec.successfulJobsHistoryLimit", None, "set successfulJobsHistoryLimit"),
        ("CronJob/train:spec.failedJobsHistoryLimit", None, "set failedJobsHistoryLimit"),
        (f"{JOB}.activeDeadlineSeconds", None, "set activeDeadlineSeconds"),
        (f"{JOB}.ttlSecondsAfterFinished", None, "set ttlSecondsAfterFinished"),
        (f"{JOB}.backoffLimit", None, "set backoffLimit"),
        (f"{JOB}.backoffLimit", 0, "let backoffLimit be more than 0"),
        (f"{JOB}.activeDeadlineSeconds", 0, "let activeDeadlineSeconds be more than 0"),
        (f"{JOB}.template.spec.restartPolicy", "OnFailure", "set restartPolicy: Never"),
        (f"{JOB}.podFailurePolicy", None, "exit code 42 with FailJob"),
        (f"{JOB}.podFailurePolicy.rules", rules(on("FailJob", "In", 42)), "exit code 43 with FailJob"),
        (f"{JOB}.podFailurePolicy.rules", rules(on("FailJob", "NotIn", 0)), "exit code 75 alone"),
        (
            f"{JOB}.podFailurePolicy.rules",
            rules(on("Count", "In", 42), on("FailJob", "In", 42, 43)),
            "exit code 42 with FailJob",
        ),
    ],
)
def test_a_job_that_could_run_twice_or_for_ever_is_found(path: str, value: Any, message: str) -> None:
    found = lint.faults(broken(path, value))

    assert any(fault.startswith("CronJob/train: ") and message in fault for fault in found), found


@pytest.mark.parametrize(
    "policy",
    [
        rules(on("Count", "In", 75), on("FailJob", "In", 42, 43)),
        rules({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}, on("FailJob", "In", 42, 43)),
        rules(on("FailJob", "NotIn", 0, 75)),
    ],
)
def test_a_policy_that_says_the_same_in_other_words_is_sound(policy: list[dict[str, Any]]) -> None:
    assert lint.faults(broken(f"{JOB}.podFailurePolicy.rules", policy)) == []


def test_the_codes_that_end_a_job_are_those_of_the_table() -> None:
    assert sorted({*jobs.FINAL, 75}) == sorted(set(EXIT_CODES.values()))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("CronWorkflow/stream:spec.schedules", None, "give it a schedule"),
        ("CronWorkflow/stream:spec.timezone", None, "set timezone: Etc/UTC"),
        ("CronWorkflow/stream:spec.concurrencyPolicy", "Replace", "set concurrencyPolicy: Forbid"),
        (f"{FLOW}.activeDeadlineSeconds", None, "set activeDeadlineSeconds"),
        (f"{FLOW}.ttlStrategy", None, "set ttlStrategy"),
        (f"{FLOW}.templates.0.retryStrategy", None, "set retryStrategy"),
        (f"{FLOW}.templates.0.retryStrategy.expression", "true", "set retryStrategy"),
        (f"{FLOW}.templates.0.retryStrategy.retryPolicy", "OnError", "retryPolicy: OnFailure"),
        (f"{FLOW}.templates.0.container.resources", None, "set resources.limits.memory"),
        (f"{FLOW}.templates.0.container.image", "contender", "a tag that is not latest"),
        (f"{FLOW}.securityContext", None, "set runAsNonRoot: true"),
        (f"{FLOW}.serviceAccountName", "nobody", "ServiceAccount/nobody, which is not there"),
    ],
)
def test_a_workflow_is_held_to_the_same(path: str, value: Any, message: str) -> None:
    found = lint.faults(broken(path, value))

    assert any(fault.startswith("CronWorkflow/stream") and message in fault for fault in found), found


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("resources.requests.cpu", None, "set resources.requests.cpu"),
        ("resources.requests.memory", None, "set resources.requests.memory"),
        ("resources.limits.memory", None, "set resources.limits.memory"),
        ("securityContext.readOnlyRootFilesystem", False, "set readOnlyRootFilesystem: true"),
        ("securityContext.allowPrivilegeEscalation", True, "set allowPrivilegeEscalation: false"),
        ("securityContext.capabilities", {"drop": ["NET_RAW"]}, "drop the capabilities [ALL]"),
        ("securityContext.privileged", True, "do not run it privileged"),
        ("securityContext.runAsUser", 0, "set runAsUser"),
        ("securityContext.runAsNonRoot", False, "set runAsNonRoot: true"),
        ("securityContext.seccompProfile", {"type": "Unconfined"}, "set seccompProfile"),
        ("readinessProbe", None, "give it a readinessProbe"),
        ("livenessProbe", None, "give it a livenessProbe"),
    ],
)
def test_a_container_that_may_too_much_is_found(path: str, value: Any, message: str) -> None:
    found = lint.faults(broken(f"{CONTAINER}.{path}", value))

    assert len(found) == 1, found
    assert found[0].startswith("Deployment/api container main: ")
    assert message in found[0]


@pytest.mark.parametrize(
    ("image", "is_pinned"),
    [
        (f"docker.io/valkey/valkey:9.1@{DIGEST}", True),
        (f"ghcr.io/somebody/contender:0.1.0@{DIGEST}", True),
        (f"contender:0.1.0@{DIGEST}", True),
        ("contender:0.1.0", True),
        ("localhost/contender:dev", True),
        ("localhost:5001/contender:dev", True),
        ("contender", False),
        ("contender:latest", False),
        ("ghcr.io/somebody/contender:0.1.0", False),
        ("docker.io/valkey/valkey:9.1", False),
        (f"docker.io/valkey/valkey@{DIGEST}", False),
        (f"docker.io/valkey/valkey:latest@{DIGEST}", False),
        ("postgres", False),
        ("postgres:17", False),
    ],
)
def test_an_image_is_pinned_by_tag_and_digest_unless_it_is_built_here(image: str, is_pinned: bool) -> None:
    found = lint.faults(broken(f"{CONTAINER}.image", image))

    assert (found == []) == is_pinned, found


def test_a_token_is_mounted_only_where_a_binding_says_what_for() -> None:
    (fault,) = lint.faults(broken(f"{POD}.automountServiceAccountToken"))
    assert fault.startswith("Deployment/api: set automountServiceAccountToken: false")

    (fault,) = lint.faults(without("RoleBinding", "workflow"))
    assert fault.startswith("CronWorkflow/stream template step: set automountServiceAccountToken: false")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("envFrom.0.configMapRef.name", "settingz", "ConfigMap/settingz, which is not there"),
        ("env.0.valueFrom.secretKeyRef.name", "other", "Secret/other, which is not there"),
        ("env.0.valueFrom.secretKeyRef.key", "NO_SUCH", "has no key NO_SUCH"),
        ("volumeMounts.0.name", "date", "mounts the volume date"),
    ],
)
def test_a_name_that_leads_nowhere_is_found(path: str, value: Any, message: str) -> None:
    (fault,) = lint.faults(broken(f"{CONTAINER}.{path}", value))

    assert fault.startswith("Deployment/api: ")
    assert message in fault


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (f"{POD}.volumes.0.persistentVolumeClaim.claimName", "disc", "PersistentVolumeClaim/disc"),
        (f"{POD}.volumes.1.configMap.items.0.key", "OTHER", "has no key OTHER"),
        (f"{POD}.serviceAccountName", "nobody", "ServiceAccount/nobody"),
        ("Service/api:spec.selector.app", "apy", "Service/api: its selector selects no pod"),
        ("PodDisruptionBudget/api:spec.selector.matchLabels.app", "apy", "PodDisruptionBudget/api: its selector"),
        ("NetworkPolicy/to-api:spec.podSelector.matchLabels.app", "apy", "NetworkPolicy/to-api: its podSelector"),
        (
            "NetworkPolicy/to-api:spec.ingress.0.from.0.podSelector.matchExpressions.0.values",
            ["tain"],
            "NetworkPolicy/to-api: its ingress podSelector",
        ),
        ("HorizontalPodAutoscaler/api:spec.scaleTargetRef.kind", "StatefulSet", "scales StatefulSet/api"),
        ("Ingress/api:spec.tls", [{"secretName": "other"}], "its certificate is in Secret/other"),
        ("Ingress/api:spec.rules.0.http.paths.0.backend.service.name", "apy", "leads to Service/apy"),
    ],
)
def test_what_selects_or_names_nothing_is_found(path: str, value: Any, message: str) -> None:
    found = lint.faults(broken(path, value))

    assert any(message in fault for fault in found), found


def test_the_generated_secret_is_the_one_that_contender_secrets_makes() -> None:
    assert "CONTENDER_DATABASE_URL" in references.generated()[NAME]


def test_what_the_apply_script_makes_is_there() -> None:
    script = (REPOSITORY / "k8s" / "apply.sh").read_text()

    for (kind, name), keys in references.AT_INSTALL.items():
        assert f"create {kind.lower()} {name} " in script
        assert all(key in script for key in keys)
    assert lint.faults(broken(f"{CONTAINER}.envFrom.0.configMapRef.name", "clock")) == []


def test_a_namespace_that_lets_anything_run_is_found() -> None:
    (fault,) = lint.faults(broken("Namespace/contender:metadata.labels", {"a": "b"}))

    assert fault == "Namespace/contender: label it pod-security.kubernetes.io/enforce: restricted."


def test_a_namespace_is_closed_both_ways() -> None:
    (fault,) = lint.faults(broken("NetworkPolicy/closed:spec.policyTypes", ["Ingress"]))
    assert "policyTypes: [Egress]" in fault

    found = lint.faults(broken("NetworkPolicy/closed:spec.ingress", [{}]))
    assert [fault for fault in found if "policyTypes: [Ingress]" in fault]


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "Secret", "stringData": {"POSTGRES_PASSWORD": "hunter2"}},
        {"kind": "ConfigMap", "data": {"POSTGRES_PASSWORD": "hunter2"}},
        {"kind": "ConfigMap", "data": {"arguments": "mlflow server --disable-security-middleware"}},
        {"kind": "ConfigMap", "data": {"where": "postgresql://contender:hunter2@postgres:5432/contender"}},
    ],
    ids=["secret", "password", "no middleware", "password in an address"],
)
def test_a_secret_or_an_open_door_in_the_manifests_is_found(document: dict[str, Any]) -> None:
    given = {**document, "metadata": {"name": "given", "namespace": "contender"}}

    (fault,) = lint.faults([*sound(), given])

    assert fault.startswith(f"{given['kind']}/given: ")


def test_a_password_in_the_environment_of_a_container_is_found() -> None:
    (fault,) = lint.faults(broken(f"{CONTAINER}.env.0", {"name": "POSTGRES_PASSWORD", "value": "admin"}))

    assert fault == "Deployment/api: take POSTGRES_PASSWORD from a Secret; its value is in the manifest."


def test_an_address_whose_password_is_filled_in_later_is_no_secret() -> None:
    given = {"name": "WHERE", "value": "redis://:$(REDIS_PASSWORD)@redis:6379/0"}

    assert lint.faults(broken(f"{CONTAINER}.env.0", given)) == []


def test_a_setting_that_does_not_exist_is_found() -> None:
    (fault,) = lint.faults(broken("ConfigMap/settings:data.CONTENDER_MLFLOW_ADDRESS", "http://mlflow:5000"))
    assert fault.startswith("ConfigMap/settings: CONTENDER_MLFLOW_ADDRESS is no setting")

    (fault,) = lint.faults(broken(f"{CONTAINER}.env.0", {"name": "CONTENDER_APY_PORT", "value": "1"}))
    assert fault.startswith("Deployment/api: CONTENDER_APY_PORT is no setting")


@pytest.mark.parametrize("value", [["python", "-m", "serving.nothing"], ["sh", "-c", "sleep 1; python -m nothing"]])
def test_a_module_that_is_not_there_is_found(value: list[str]) -> None:
    (fault,) = lint.faults(broken(f"{CONTAINER}.command", value))

    assert fault.endswith("there is no such module.")


def test_the_command_prints_a_line_a_fault(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("kind: Namespace\nmetadata: {name: open}\n---\n"))
    assert command.main() == 1
    assert capsys.readouterr().out == "Namespace/open: label it pod-security.kubernetes.io/enforce: restricted.\n"

    sound_ones = "---\n".join(yaml.safe_dump(document) for document in sound())
    monkeypatch.setattr(sys, "stdin", io.StringIO(sound_ones))
    assert command.main() == 0
