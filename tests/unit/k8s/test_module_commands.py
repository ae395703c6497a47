"""Every `python -m MODULE` of ours that a manifest, script, workflow or page names is a module that can be run."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent.parent
PLACES = ("k8s", "vagrant", "docs", ".github", ".ci", "scripts", "postman", "README.md", "Makefile", "Vagrantfile")
PRODUCT = ("contender", "core", "features", "ingestion", "monitoring", "serving", "training", "web")
OURS = {*PRODUCT, "bench", "k8s", "postman"}
COMMAND = re.compile(r"\bpython3?(?:[\"', ]+|\s+)-m[\"', ]+([a-z_][a-z_0-9]*(?:\.[a-z_][a-z_0-9]*)*)")
PROGRAM = re.compile(r"(?:run_command\(\s*|prog=\"python -m )\"?([a-z_.]+)\"")
ENTRY = 'if __name__ == "__main__":'


def named() -> Iterator[tuple[str, str]]:
    """The modules of ours in the files of these places, each with the file that names it."""
    for place in PLACES:
        path = REPOSITORY / place
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if not file.is_file() or "__pycache__" in file.parts:
                continue
            try:
                text = file.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
            for module in COMMAND.findall(text):
                if module.split(".")[0] in OURS:
                    yield module, file.relative_to(REPOSITORY).as_posix()


def entry_of(module: str) -> Path | None:
    """The file that Python runs for a module; None when there is none."""
    try:
        spec = find_spec(module)
        if spec is not None and spec.submodule_search_locations:
            spec = find_spec(f"{module}.__main__")
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


def test_every_module_that_is_named_can_be_run() -> None:
    modules = dict(named())

    assert {"contender.cluster.prepare", "contender.servers.postgres", "contender.servers.mlflow"} <= modules.keys()
    wrong = {
        module: file
        for module, file in modules.items()
        if (entry := entry_of(module)) is None or ENTRY not in entry.read_text()
    }
    assert not wrong


def programs() -> Iterator[tuple[str, str]]:
    """Each module that names itself for its usage text and its log, with that name."""
    for package in PRODUCT:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            text = path.read_text()
            if ENTRY in text:
                module = path.relative_to(REPOSITORY).with_suffix("").as_posix().replace("/", ".")
                yield from ((module.removesuffix(".__main__"), name) for name in PROGRAM.findall(text))


@pytest.mark.parametrize(("module", "name"), sorted(set(programs())))
def test_a_command_calls_itself_by_the_name_by_which_it_is_run(module: str, name: str) -> None:
    assert name == module
