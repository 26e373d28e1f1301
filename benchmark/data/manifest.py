"""What is told of a prepared dataset beside its arrays: a mapping of known form, which records take over."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, TypeAdapter, ValidationError

from benchmark.core import registry

MANIFEST = "manifest.json"


class _Form(BaseModel):
    """Entries may be missing, as they were not always written; one that is there is of its kind."""

    model_config = ConfigDict(extra="allow", strict=True)

    dataset: str = ""
    variant: str = ""
    note: str = ""
    classes: int = Field(default=0, ge=0)
    sources: dict[str, str] = Field(default_factory=dict)
    checksums: dict[str, str] = Field(default_factory=dict)
    train: list[PositiveInt] = Field(default_factory=list, min_length=1)
    test: list[PositiveInt] = Field(default_factory=list, min_length=1)


def _of_its_form(manifest: dict[str, Any]) -> dict[str, Any]:
    try:
        _Form.model_validate(manifest)
    except ValidationError as error:
        (first, *_) = error.errors()
        raise ValueError(f"'{'.'.join(map(str, first['loc']))}': {first['msg']}") from None
    return manifest


Manifest = Annotated[dict[str, Any], AfterValidator(_of_its_form)]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest in a prepared folder. Raises OSError, and ValueError with a line that says what is wrong with it."""
    content = (folder / MANIFEST).read_bytes()
    try:
        return TypeAdapter(Manifest).validate_json(content)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def manifest_of(dataset: str, cache: Path) -> dict[str, Any]:
    """The manifest of a prepared dataset; empty when it is not prepared, or damaged."""
    with suppress(OSError, ValueError):
        return read_manifest(registry.datasets[dataset].prepared_dir(cache))
    return {}


def data_unchanged(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two manifests are of the same images, as far as both tell."""
    for key in ("checksums", "sources"):
        if key in one and key in other:
            return bool(one[key] == other[key])
    return True
