"""Turns pydantic's complaints into messages that name file, line, key, value and the nearest spelling."""

from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from benchmark.config.yaml_source import KeyPath, location
from benchmark.core.errors import did_you_mean

WORDS = {
    "missing": "is required",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "dict_type": "must hold keys and values",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "finite_number": "must be a finite number",
}


def error_message(error: Any, model: type[BaseModel]) -> str:
    """What is wrong, in words, for one entry of `ValidationError.errors()`."""
    kind, value = error["type"], error.get("input")
    if kind == "extra_forbidden":
        return (
            f"unknown key '{error['loc'][-1]}'; {did_you_mean(error['loc'][-1], fields_at(model, error['loc'][:-1]))}"
        )
    if kind == "literal_error":
        choices = [str(choice) for choice in literals_at(model, error["loc"])]
        return (
            f"is {_shown(value)}; {did_you_mean(value, choices)}" if choices else f"is {_shown(value)}; {error['msg']}"
        )
    if kind == "missing":
        return WORDS[kind]
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        return f"is {_shown(value)} but must be {error['msg'].removeprefix('Input should be ')}"
    if kind == "value_error":
        return f"{error['ctx']['error']}"
    return f"is {_shown(value)} but {WORDS.get(kind, error['msg'][0].lower() + error['msg'][1:])}"


def format_errors(error: ValidationError, model: type[BaseModel], file: Path, lines: dict[KeyPath, int]) -> str:
    """All that is wrong in a file, a line each."""
    return "\n".join(
        f"{location(file, _plain(entry['loc']), lines)}: {error_message(entry, model)}" for entry in error.errors()
    )


def fields_at(model: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys that the schema knows at a path; none when the path leads to free-form values."""
    found = _model_at(model, path)
    return list(found.model_fields) if found else []


def literals_at(model: type[BaseModel], path: KeyPath) -> list[Any]:
    """The allowed words of the field at a path."""
    field = field_at(model, path)
    return _flat_args(field.annotation) if field else []


def field_at(model: type[BaseModel], path: KeyPath) -> FieldInfo | None:
    """The field at a path; None when the path leads to free-form values."""
    parent = _model_at(model, path[:-1])
    return parent.model_fields.get(str(path[-1])) if parent else None


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    current: Any = model
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(str(part))
            current = field.annotation if field else None
        else:  # a list or a dict of models: step into what it holds
            current = next((a for a in reversed(get_args(current))), None)
        current = _unwrapped(current)
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _unwrapped(annotation: Any) -> Any:
    """`X | None` and `Annotated[X, ...]` -> X."""
    args = [a for a in get_args(annotation) if a is not type(None)]
    if type(annotation).__name__ in ("UnionType", "_UnionGenericAlias", "_AnnotatedAlias", "Union") and args:
        return _unwrapped(args[0])
    return annotation


def _flat_args(annotation: Any) -> list[Any]:
    args = get_args(annotation)
    return [leaf for a in args for leaf in (_flat_args(a) or [a]) if leaf is not type(None)]


def _plain(loc: KeyPath) -> KeyPath:
    """Without the names of schema branches that pydantic adds to a location."""
    return tuple(part for part in loc if not (isinstance(part, str) and part.startswith(("function-", "is-"))))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
