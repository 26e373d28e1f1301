"""The metadata file of a prepared dataset. Records contain a copy of it."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, TypeAdapter, ValidationError

from benchmark.core import registry

MANIFEST = "manifest.json"
DESCRIPTIONS = ("layout", "left_out")  # how the files of a user's folder were understood, for people


class _ManifestSchema(BaseModel):
    """Every entry is optional, because older versions did not write all of them; those present have these types."""

    model_config = ConfigDict(extra="allow", strict=True)

    dataset: str = ""
    variant: str = ""
    note: str = ""
    layout: str = ""
    left_out: str = ""
    classes: int = Field(default=0, ge=0)
    sources: dict[str, str] = Field(default_factory=dict)
    checksums: dict[str, str] = Field(default_factory=dict)
    train: list[PositiveInt] = Field(default_factory=list, min_length=1)
    test: list[PositiveInt] = Field(default_factory=list, min_length=1)


def _validate(manifest: dict[str, Any]) -> dict[str, Any]:
    try:
        _ManifestSchema.model_validate(manifest)
    except ValidationError as error:
        (first, *_) = error.errors()
        raise ValueError(f"'{'.'.join(map(str, first['loc']))}': {first['msg']}") from None
    return manifest


Manifest = Annotated[dict[str, Any], AfterValidator(_validate)]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest in a prepared folder. Raises OSError, or ValueError with a one-line description of the problem."""
    content = (folder / MANIFEST).read_bytes()
    try:
        return TypeAdapter(Manifest).validate_json(content)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def manifest_of(dataset: str, cache: Path) -> dict[str, Any]:
    """The manifest of a prepared dataset; empty if the dataset is not prepared or the manifest is damaged."""
    with suppress(OSError, ValueError):
        return read_manifest(registry.datasets[dataset].prepared_dir(cache))
    return {}


def data_unchanged(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two manifests describe the same images: equal checksums, or equal sources where one has no checksums.

    True if the manifests have neither in common.
    """
    for key in ("checksums", "sources"):
        if key in first and key in second:
            return bool(first[key] == second[key])
    return True
