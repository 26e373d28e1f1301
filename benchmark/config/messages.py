"""Validation errors in words: file, line, key, value and the nearest valid spelling."""

import re
from collections.abc import Callable
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from benchmark.config.yaml_source import KeyPath, dotted_key
from benchmark.core.errors import UserError, did_you_mean

M = TypeVar("M", bound=BaseModel)

WORDS = {
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "dict_type": "must hold keys and values",
    "model_type": "must hold keys and values",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "finite_number": "must be a finite number",
}


def validate_model(model: type[M], values: Any, location: Callable[[KeyPath], str], within: KeyPath = ()) -> M:
    """The model that `values` describe.

    `location`: key path from the model -> the place to name in a message. `within`: the key whose value the model
    describes. A required key that is missing is named with it, because the file may not hold `within` either.

    Raises:
        UserError: one line for each invalid value.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = []
        for entry in error.errors():
            key = _without_branches(entry["loc"][:-1] if entry["type"] == "missing" else entry["loc"])
            lines.append(f"{location(key)}: {_message(entry, model, within)}")
        raise UserError("\n".join(lines)) from None


def _message(error: Any, model: type[BaseModel], within: KeyPath) -> str:
    """What is wrong, for one entry of `ValidationError.errors()`."""
    kind, loc, value = error["type"], _without_branches(error["loc"]), _shorten(repr(error.get("input")))
    if kind == "missing":
        return f"'{dotted_key((*within, loc[-1]))}' is required" if isinstance(loc[-1], str) else "has too few items"
    if kind == "extra_forbidden":
        parent = _model_at(model, loc[:-1])
        return f"unknown key '{loc[-1]}'; {did_you_mean(loc[-1], parent.model_fields if parent else ())}"
    if kind == "literal_error":
        allowed = re.findall("'(.+?)'", error["ctx"]["expected"])
        return f"is {value}; {did_you_mean(error['input'], allowed)}"
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        return f"is {value} but must be {error['msg'].removeprefix('Input should be ')}"
    if kind == "too_short":
        least = error["ctx"]["min_length"]
        return f"is {value} but must have at least {least} {'entry' if least == 1 else 'entries'}"
    if kind == "value_error":
        return f"{error['ctx']['error']}"
    return f"is {value} but {WORDS.get(kind, error['msg'][0].lower() + error['msg'][1:])}"


def field_at(model: type[BaseModel], path: KeyPath) -> FieldInfo | None:
    """The field at a path; None where the schema allows any key."""
    parent = _model_at(model, path[:-1])
    return parent.model_fields.get(str(path[-1])) if parent else None


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    current: Any = model
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(str(part))
            current = field.annotation if field else None
        else:  # a list or a dict of models: continue with what it holds
            current = next((argument for argument in reversed(get_args(current))), None)
        current = _unwrap(current)
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _unwrap(annotation: Any) -> Any:
    """`X | None` and `Annotated[X, ...]` -> X."""
    arguments = [argument for argument in get_args(annotation) if argument is not type(None)]
    if type(annotation).__name__ in ("UnionType", "_UnionGenericAlias", "_AnnotatedAlias", "Union") and arguments:
        return _unwrap(arguments[0])
    return annotation


def _without_branches(loc: KeyPath) -> KeyPath:
    """A location without the names of validators and union members that pydantic adds to it."""
    return tuple(part for part in loc if not (isinstance(part, str) and part.startswith(("function-", "is-"))))


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
