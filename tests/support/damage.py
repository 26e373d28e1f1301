"""Damaged raw files, and the assertion that a dataset refuses them."""

import pytest

from benchmark.core.errors import UserError

DAMAGES = pytest.mark.parametrize("damage", ["truncated", "empty", "changed"])


def damaged(content, damage):
    return {"truncated": content[:-7], "empty": b"", "changed": content[:50] + b"!" + content[51:]}[damage]


def raw_files(folder):
    return sorted(path for path in folder.rglob("*") if path.suffix != ".lock" and path != folder / "cache")


def refused(dataset, folder, *words):
    """The message with which preparing is refused. It has all the words and a remedy; no file is left behind."""
    before = raw_files(folder)
    with pytest.raises(UserError) as raised:
        dataset.prepare(folder, folder / "cache")
    message = str(raised.value)
    for word in map(str, words):
        assert word in message
    assert any(remedy in message for remedy in ("get ", "Get ", "Put ", "replace ", "add "))
    assert raw_files(folder) == before, "no file is left behind"
    return message
