"""What kustomize makes of k8s/, held offline against the schemas of Kubernetes, of Argo, and against our own lint."""

import re
import shutil
from typing import Any

import hera.workflows.models as argo
import kubernetes_validate
import pytest
import yaml

from k8s import lint
from k8s.lint.documents import job_spec, name_of, pods, workflow_spec
from tests.support.cluster.rendering import FOLDERS, K8S, REMOTE, installed, rendered, together

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl renders the manifests")

CUSTOM = "argoproj.io/v1alpha1"
WORKFLOWS = {"CronWorkflow": argo.CronWorkflow, "WorkflowTemplate": argo.WorkflowTemplate, "Workflow": argo.Workflow}
GITOPS = {
    "Application": {
        "project": str,
        "source": {"repoURL": str, "targetRevision": str, "path": str},
        "destination": {"server": str, "namespace": str},
        "syncPolicy": {
            "automated": {"prune": bool, "selfHeal": bool},
            "syncOptions": list,
            "retry": {"limit": int, "backoff": {"duration": str, "factor": int, "maxDuration": str}},
        },
        "ignoreDifferences": list,
    },
    "AppProject": {
        "description": str,
        "sourceRepos": list,
        "destinations": list,
        "clusterResourceWhitelist": list,
        "namespaceResourceWhitelist": list,
    },
}
"""Argo CD's schema is in no package: every field that we use, and its kind, from its documentation."""


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_document_fits_the_newest_schema_of_kubernetes(folder: str) -> None:
    version = kubernetes_validate.latest_version()
    major, minor, *_ = version.split(".")

    for document in rendered(folder):
        if document["apiVersion"] != CUSTOM:
            kubernetes_validate.validate(document, f"{major}.{minor}", strict=True)


def test_a_field_that_kubernetes_does_not_know_is_refused() -> None:
    document = next(document for document in rendered("base") if document["kind"] == "CronJob")
    document["spec"]["timezone"] = "Etc/UTC"

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, "1.37", strict=True)


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_lint_finds_nothing(folder: str) -> None:
    assert lint.faults([document for document in installed(folder) if document["kind"] not in GITOPS]) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_workflow_fits_the_models_of_argo_and_says_nothing_that_they_do_not_know(folder: str) -> None:
    for document in rendered(folder):
        if document["kind"] in WORKFLOWS:
            model = WORKFLOWS[document["kind"]].model_validate(document)
            assert said(model.model_dump(mode="json", by_alias=True, exclude_unset=True)) == said(document)


def said(value: Any, path: str = "") -> set[str]:
    """The path to every value."""
    if isinstance(value, dict):
        return {inner for key, held in value.items() for inner in said(held, f"{path}.{key}")} or {path}
    if isinstance(value, list):
        return {inner for number, held in enumerate(value) for inner in said(held, f"{path}.{number}")} or {path}
    return {path}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_image_of_ours_is_of_one_version(folder: str) -> None:
    images = {container["image"] for pod in pods(installed(folder)) for container in pod.all_containers}

    assert len({image for image in images if "contender" in image}) <= 1


def test_all_components_go_together() -> None:
    components = [folder for folder in FOLDERS if folder.startswith("components/")]
    documents = together(components)

    names = [(document["apiVersion"], name_of(document)) for document in documents]
    assert len(set(names)) == len(names) > len(rendered("base"))
    assert lint.faults(documents) == []


def test_argo_takes_the_same_steps_as_the_cron_jobs_which_stand_still() -> None:
    documents = rendered("components/argo")
    jobs = {name_of(document): document for document in documents if document["kind"] == "CronJob"}

    taken = {module for pod in pods(documents) if pod.kind in WORKFLOWS for module in modules(pod.containers)}
    left = {
        module
        for document in jobs.values()
        if not document["spec"].get("suspend")
        for module in modules(job_spec(document)["template"]["spec"]["containers"])  # type: ignore[index]
    }
    suspended = {
        module
        for document in jobs.values()
        if document["spec"].get("suspend")
        for module in modules(job_spec(document)["template"]["spec"]["containers"])  # type: ignore[index]
    }
    assert taken == suspended
    assert not taken & left


def modules(containers: Any) -> set[str]:
    """What containers start by `python -m`."""
    return {name for one in containers for name in re.findall(r"python -m ([\w.]+)", " ".join(one["command"]))}


def test_the_graph_of_a_night_goes_from_ingestion_to_prediction() -> None:
    night = next(document for document in rendered("components/argo") if document["kind"] == "WorkflowTemplate")
    spec = workflow_spec(night)
    assert spec is not None

    tasks = next(template["dag"]["tasks"] for template in spec["templates"] if "dag" in template)
    assert [(task["template"], task.get("dependencies", [])) for task in tasks] == [
        ("ingest", []),
        ("features", ["ingest"]),
        ("train", ["features"]),
        ("promote", ["train"]),
        ("predict", ["promote"]),
    ]


def test_argo_cd_gets_an_application_as_its_documentation_has_it() -> None:
    made = {document["kind"]: document for document in rendered("gitops")}

    assert set(made) == set(GITOPS)
    for kind, fields in GITOPS.items():
        check(made[kind]["spec"], fields, kind)
    application, project = made["Application"]["spec"], made["AppProject"]["spec"]
    assert application["source"]["repoURL"] in project["sourceRepos"]
    assert (K8S.parent / application["source"]["path"] / "kustomization.yaml").exists()
    assert application["destination"] in project["destinations"]


def check(value: Any, fields: Any, path: str) -> None:
    """Raises when something is there that is not among the fields, or is of another kind."""
    if isinstance(fields, dict):
        assert set(value) <= set(fields), path
        for key, inner in value.items():
            check(inner, fields[key], f"{path}.{key}")
    else:
        assert isinstance(value, fields), path


def test_the_project_of_argo_cd_lets_the_overlay_through_and_no_secret() -> None:
    project = next(document for document in rendered("gitops") if document["kind"] == "AppProject")["spec"]
    allowed = {
        (each["group"], each["kind"])
        for each in project["namespaceResourceWhitelist"] + project["clusterResourceWhitelist"]
    }

    used = {(("/" + d["apiVersion"]).split("/")[-2], d["kind"]) for d in rendered("overlays/gitops")}
    assert used <= allowed
    assert ("", "Secret") not in allowed


def test_argo_cd_prunes_nothing_that_holds_data() -> None:
    for document in rendered("overlays/gitops"):
        if document["kind"] in ("Namespace", "PersistentVolumeClaim", "StatefulSet"):
            options = document["metadata"]["annotations"]["argocd.argoproj.io/sync-options"]
            assert options == "Prune=false,Delete=false", name_of(document)


@pytest.mark.parametrize("folder", REMOTE)
def test_what_comes_from_the_internet_is_named_by_its_commit(folder: str) -> None:
    description = yaml.safe_load((K8S / folder / "kustomization.yaml").read_text())

    for resource in description["resources"]:
        assert not resource.startswith("https:") or re.search(r"\?ref=[0-9a-f]{40}$", resource), resource
    assert all(image["newTag"] != "latest" for image in description["images"])


def test_what_is_added_to_argo_fits_the_schema_and_lets_it_speak_to_kubernetes() -> None:
    policies = list(yaml.safe_load_all((K8S / "argo-install" / "network.yaml").read_text()))
    for policy in policies:
        kubernetes_validate.validate(policy, "1.37", strict=True)

    (way,) = (each["spec"] for each in policies if each["metadata"]["name"] == "uses-kubernetes")
    workflows = [pod for pod in pods(rendered("components/argo")) if pod.kind in WORKFLOWS]
    assert workflows
    assert all(way["podSelector"]["matchLabels"].items() <= pod.labels.items() for pod in workflows)


def test_the_ui_of_argo_lets_nobody_in_without_a_token() -> None:
    server = yaml.safe_load((K8S / "argo-install" / "server.yaml").read_text())

    (container,) = server["spec"]["template"]["spec"]["containers"]
    assert "--auth-mode=client" in container["args"]
    assert not [word for word in container["args"] if word.startswith("--secure=false")]
