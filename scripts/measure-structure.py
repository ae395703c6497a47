#!/usr/bin/env python3
"""Counts what a reader of the code meets: modules, lines, the widest folder, comments, names, and unclear words.

    python3 scripts/measure-structure.py [FOLDER ...]

FOLDER is a checkout (the present one, where none is given); with two, the last column compares the second with the
first. The table is Markdown. Only the standard library is needed, and nothing of the checkout is run.

Words are counted in the identifiers, docstrings, comments and messages of the product's packages. Not counted is what
is stored or served under such a name and may not change: string constants and column accesses that are exactly one of
`STORED_KEYS`, the task file's key `title`, and the names of `FOREIGN`, which belong to libraries.
"""

import ast
import io
import re
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("core", "web", "ingestion", "features", "training", "monitoring", "serving", "contender")
WORDS = [
    "title",
    "crown",
    "reign",
    "stands",
    "standing",
    "unfit",
    "spoilt",
    "guardian",
    "said",
    "told",
    "asked",
    "nobody",
    "anew",
    "whoever",
    "night",
    "thaw",
    "placing",
    "outlook",
    "awaited",
    "wording",
    "chronicle",
    "shelf",
    "desk",
    "keeper",
]
FORMS = {
    "crown": ("crown", "crowns", "crowned", "crowning"),
    "reign": ("reign", "reigns"),
    "night": ("night", "nights"),
    "shelf": ("shelf", "shelves"),
}
"""The forms of a word that count; a word that is not here counts as it is."""
STORED_KEYS = {"said", "asked", "asked_at", "reign", "stands", "stands_on", "unfit", "night", "nights", "nobody_yet"}
"""Columns, keys of stored JSON and reason codes."""
COLUMN_OWNERS = {"c", "columns", "_columns", "row", "stored"}
"""What a column is an attribute of in this code: a table's columns, or a row that was read."""
FOREIGN = {"title", "set_title", "suptitle", "standardize", "standard"}
"""The task file's key (OpenAPI, typer and matplotlib have it as well), and what libraries call things."""


def product(root: Path) -> list[Path]:
    """The modules of the product, without migrations, which are never edited once they were released."""
    found = (path for package in PACKAGES for path in (root / package).rglob("*.py"))
    return sorted(path for path in found if "migrations" not in path.parts and "__pycache__" not in path.parts)


def tokens(path: Path) -> list[tokenize.TokenInfo]:
    """The tokens of a module; f-strings come whole from Python 3.11 and in pieces from 3.12, which counts alike."""
    return list(tokenize.generate_tokens(io.StringIO(path.read_text()).readline))


def words_of(identifier: str) -> list[str]:
    """The words of an identifier.

    >>> words_of("_stands_on"), words_of("TaskShelf")
    (['stands', 'on'], ['task', 'shelf'])
    """
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)]


def spoken(path: Path) -> Iterator[str]:
    """Every word of a module's identifiers, docstrings, comments and messages."""
    before = ["", ""]
    for token in tokens(path):
        if token.type == tokenize.NAME:
            is_column = before[1] == "." and before[0] in COLUMN_OWNERS and token.string in STORED_KEYS
            if not is_column and token.string not in FOREIGN:
                yield from words_of(token.string)
        elif token.type == tokenize.COMMENT:
            yield from words_of(token.string)
        elif token.type == tokenize.STRING or tokenize.tok_name[token.type] == "FSTRING_MIDDLE":
            content = token.string.strip("rbfRBF\"'")
            if content not in STORED_KEYS | FOREIGN:
                yield from words_of(content)
        before = [before[1], token.string]


def comment_lines(path: Path) -> int:
    """Lines that hold a comment that is no instruction to a tool."""
    tools = ("noqa", "type:", "fmt:", "!", "pragma")
    return sum(
        not token.string.lstrip("# ").startswith(tools) for token in tokens(path) if token.type == tokenize.COMMENT
    )


def classes_twice(paths: list[Path]) -> dict[str, int]:
    """Names of public classes that stand in more than one module."""
    names = Counter(
        node.name
        for path in paths
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    return {name: count for name, count in names.items() if count > 1}


def measure(root: Path) -> dict[str, float]:
    """Every figure of one checkout, by its name."""
    paths = product(root)
    if not paths:
        sys.exit(f"{root} holds none of the product's packages: {', '.join(PACKAGES)}.")
    folders: defaultdict[Path, int] = defaultdict(int)
    for path in paths:
        folders[path.parent] += path.name != "__init__.py"
    lines = {path: len(path.read_text().splitlines()) for path in paths}
    counts = Counter(word for path in paths for word in spoken(path))
    figures: dict[str, float] = {
        "modules (without empty `__init__.py`)": sum(count > 0 for count in lines.values()),
        "lines": sum(lines.values()),
        "modules in the widest folder": max(folders.values()),
        "folders": len(folders),
        "lines of the longest module": max(lines.values()),
        "public class names used twice": len(classes_twice(paths)),
        "comment lines, % of all": round(100 * sum(map(comment_lines, paths)) / sum(lines.values()), 2),
    }
    per_word = {word: sum(counts[form] for form in FORMS.get(word, (word,))) for word in WORDS}
    return figures | {"unclear words, in all": sum(per_word.values())} | {f"… {w}": n for w, n in per_word.items()}


def main(roots: list[Path]) -> None:
    """Prints the table."""
    measured = [measure(root) for root in roots]
    compares = len(measured) == 2
    print("|", " | ".join(["", *(str(root) for root in roots), *(["share"] if compares else [])]), "|")
    print("|---" * (1 + len(roots) + compares) + "|")
    for name in measured[0]:
        values = [one[name] for one in measured]
        share = [f"{values[1] / values[0]:.2f}" if values[0] else "–"] if compares else []
        print("|", " | ".join([name, *(f"{value:,}" for value in values), *share]), "|")


if __name__ == "__main__":
    main([Path(folder) for folder in sys.argv[1:]] or [Path(__file__).parent.parent])
