"""Turns pydantic's validation errors into sentences about the fields of a task file."""

import re
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

_PATTERN_IN_WORDS = {
    r"^[a-z][a-z0-9-]*$": "it must be small letters, digits and -, with a letter first",
    r"^[A-Za-z0-9._^=-]+$": "it must be letters, digits and . _ ^ = - only",
}
_IN_WORDS = {
    "dict_type": "it must be names with their values, such as {n: 3}",
    "tuple_type": "it must be a list, one `- entry` a line",
    "date_type": "it must be a date, such as 2010-01-31",
    "date_parsing": "it must be a date, such as 2010-01-31",
    "date_from_datetime_parsing": "it must be a date, such as 2010-01-31",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "it must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "it must be a number"),
    "string_type": "it must be text",
    "too_short": "it must have at least one entry",
    "invalid_key": "a field's name must be text",
}


def messages(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """A sentence (without its full stop) for each validation error of a document for `model`."""
    found: dict[tuple[str, ...], str] = {}
    for detail in error.errors(include_url=False):
        names, part, is_branch = _locate(model, detail["loc"])
        follows = detail["type"] == "too_short" and any(other[: len(names)] == tuple(names) for other in found)
        if not follows:  # a list counts as too short when its entries are wrong
            found.setdefault(tuple(names), _message(detail, names, part, is_branch))
    return list(found.values())


def _message(detail: Any, names: list[str], part: type[BaseModel] | None, is_branch: bool) -> str:
    kind, path = detail["type"], ".".join(names)
    if kind == "extra_forbidden" and part is not None:
        return _no_such_field(names, part)
    if kind == "missing":
        return f"`{path}` is missing"
    if kind == "value_error":
        reason = str(detail["ctx"]["error"])
        return f"`{path}`: {reason}" if path else reason
    if kind == "model_type":
        fields = f"with the fields {', '.join(part.model_fields)}" if part else "with fields"
        return f"`{path}` must be an entry {fields}" if path else "it must hold fields, such as `name: spy`"
    if is_branch:
        must = "it must be a number, a text, true or false"
    elif kind == "string_pattern_mismatch":
        must = _PATTERN_IN_WORDS.get(detail["ctx"]["pattern"], f"it must match {detail['ctx']['pattern']}")
    else:
        must = _IN_WORDS.get(kind) or re.sub(r"^\w+ should", "it must", detail["msg"])
    return f"`{path}` is {_shown(detail['input'])}: {must}"


def _no_such_field(names: list[str], part: type[BaseModel]) -> str:
    *above, name = names
    where = f" in {'.'.join(above)}" if above else ""
    meant = get_close_matches(name, part.model_fields, n=1)
    guess = f" (did you mean `{meant[0]}`?)" if meant else ""
    return f"there is no field `{name}`{where}{guess}; it has {', '.join(part.model_fields)}"


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    text = repr(value) if isinstance(value, str | int | float | bool) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _locate(model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[list[str], type[BaseModel] | None, bool]:
    """The path to an error as the file writes it, the model that holds it, and whether several types were tried there.

    Of a union pydantic reports each type, under one more name. Entries of a list count from 1.
    """
    names: list[str] = []
    part: type[BaseModel] | None = model
    at: Any = model
    for step in loc:
        at = _plain(at)
        if isinstance(at, type) and issubclass(at, BaseModel):
            part = at
            field = at.model_fields.get(str(step))
            at = None if field is None else field.annotation
        elif get_origin(at) is dict:
            at = get_args(at)[1]
        elif get_origin(at) is tuple:
            at = get_args(at)[0]
            step = int(step) + 1
        else:
            return names, part, get_origin(at) in (Union, UnionType)
        names.append(str(step))
    at = _plain(at)
    return names, at if isinstance(at, type) and issubclass(at, BaseModel) else part, False


def _plain(annotation: Any) -> Any:
    """The type without `Annotated` and without `| None`."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        rest = [one for one in get_args(annotation) if one is not type(None)]
        return _plain(rest[0]) if len(rest) == 1 else annotation
    return annotation
