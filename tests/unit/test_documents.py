"""The pages that lead newcomers around name only what is there."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
ROOTS = "core|web|ingestion|features|training|monitoring|serving|contender|tests|scripts|k8s|vagrant|tasks|docs|bench"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md", "SECURITY.md", "CHANGELOG.md"])
def test_every_path_named_exists(page: str) -> None:
    text = (REPOSITORY / page).read_text()
    named = {path for path in re.findall(rf"`((?:{ROOTS})/[\w./-]*)`", text) if "NAME" not in path}

    assert named or page in ("SECURITY.md", "CHANGELOG.md")
    assert not {path for path in named if not (REPOSITORY / path).exists()}


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_every_relative_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", (REPOSITORY / page).read_text()):
        assert (REPOSITORY / target).exists(), target


def test_every_make_target_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.M))
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()

    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.M)) <= targets
