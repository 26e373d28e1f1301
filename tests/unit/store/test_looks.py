"""tests.unit.store.test_looks"""

import pytest

from benchmark.core.errors import UserError
from benchmark.store.looks import CellLooks, LooksStore


def looks(row="GAN", sizes=(3, 5), seeds=(0, 1, 2), cell_id="0123456789abcdef"):
    return CellLooks(table="T", row=row, cell_id=cell_id, seeds=seeds, looks=sizes, max_seeds=10)


@pytest.fixture
def store(tmp_path):
    return LooksStore(tmp_path / "looks")


def test_without_a_file_there_are_no_looks(store):
    assert store.read("suite") == ()
    assert store.forget("suite", [looks().key]) == 0
    assert not store.folder.exists()


def test_an_update_replaces_the_looks_at_the_same_cell_only(store):
    store.update("suite", [looks(), looks("SSGAN", (3,))])
    store.update("suite", [looks(sizes=(3, 5, 8))])
    assert store.read("suite") == (looks(sizes=(3, 5, 8)), looks("SSGAN", (3,)))
    assert store.read("other") == ()


@pytest.mark.parametrize("changes", [{"seeds": (0, 1)}, {"cell_id": "f" * 16}, {"row": "MSGAN"}])
def test_another_list_of_seeds_or_another_recipe_is_another_cell(store, changes):
    store.update("suite", [looks()])
    store.update("suite", [looks(**changes)])
    assert len(store.read("suite")) == 2
    assert store.forget("suite", [looks().key]) == 1
    assert store.read("suite") == (looks(**changes),)


def test_equal_looks_do_not_rewrite_the_file(store):
    store.update("suite", [looks()])
    before = store.path("suite").stat().st_ino
    store.update("suite", [looks()])
    assert store.path("suite").stat().st_ino == before


@pytest.mark.parametrize("content", ["", "[", "{}", '[{"table": "T"}]', '[{"looks": []}]'])
def test_a_damaged_file_is_named_with_a_remedy(store, content):
    store.folder.mkdir()
    store.path("suite").write_text(content)
    with pytest.raises(UserError, match=r"suite\.json: damaged.*takes the same looks again"):
        store.read("suite")
