"""No name in a suite or in data leads out of the folder that it belongs to, or changes which files are written."""

import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from benchmark.config.suite import load_suite
from benchmark.core.errors import UserError
from benchmark.core.spec import Protocol, TrialSpec
from benchmark.evaluation.extractors import digits
from benchmark.report.text import escape_markdown
from benchmark.store.workspace import sample_grid_path
from benchmark.tracking.fields import MAX_KEY, safe_key
from benchmark.trials import runner
from tests.integration.test_bad_input import SMALL, _imported, instant  # noqa: F401
from tests.support.mutations import as_yaml, deep_copy
from tests.support.oracle import Room

EVIL = (
    "../x",
    "..",
    ".",
    "/etc/x",
    "a/../../x",
    "..\\x",
    "~/x",
    "x\0y",
    "con",
    "-rf",
    " ",
    "x" * 400,
    "$HOME",
    "é/ü",
    "C:\\x",
    "%2e%2e/",
)
names = st.sampled_from(EVIL) | st.text(min_size=1, max_size=12)
printable = names.filter(lambda name: all(unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") for c in name))


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    return Room(tmp_path_factory.mktemp("names"))


@given(title=printable, rows=st.lists(printable, min_size=2, max_size=2, unique=True), suite=printable)
@example(title="../../x", rows=["../y", "/z"], suite="..")
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_titles_and_rows_are_not_file_names(
    room: Room, monkeypatch: Any, title: str, rows: list[str], suite: str
) -> None:
    monkeypatch.setattr(runner, "run_trial", instant)
    monkeypatch.setattr(digits, "EPOCHS", {8: 1})
    tree = {**deep_copy(SMALL), "title": suite}
    tree["tables"] = [
        {"title": title, "rows": {label: {"method": m} for label, m in zip(rows, ("gan", "ssgan"), strict=True)}}
    ]
    del tree["tolerance"]
    (room.root / "suites" / "named.yaml").write_bytes(as_yaml(tree))
    answer = room.run("run", "suites/named.yaml", "--runner", "inprocess", names=["named.yaml"])
    if answer.code == 0:
        report = files(room.root / "reports")
        assert {"named", "named/leaderboard.md", "named/results.csv", "named/results.json"} <= report
        assert all(re.fullmatch(r"named(/figures(/[a-z]+\.png)?|/[a-z]+\.(md|csv|json))?", name) for name in report), (
            report
        )
        records = files(room.root / "workspace" / "results")
        assert records
        assert all(re.fullmatch(r"[0-9a-f]{16}\.json", name) for name in records)


@pytest.mark.parametrize("stem", [".", "..", "...", "-", " "])
def test_a_suite_whose_file_has_no_name_is_refused(tmp_path: Path, stem: str) -> None:
    path = tmp_path / f"{stem}.yaml"
    path.write_bytes(as_yaml({**SMALL, "tables": [{"title": "T", "rows": {"GAN": {"method": "gan"}}}]}))
    with pytest.raises(UserError, match="name"):
        load_suite(path)


@given(
    stem=names.filter(lambda name: "/" not in name and "\0" not in name and len(name.encode("utf-8", "replace")) < 200)
)
@settings(max_examples=30)
def test_the_name_of_a_suite_is_a_folder_of_the_reports(tmp_path_factory: pytest.TempPathFactory, stem: str) -> None:
    path = tmp_path_factory.getbasetemp() / f"{stem}.yaml"
    try:
        path.write_bytes(
            as_yaml({**SMALL, "tolerance": {}, "tables": [{"title": "T", "rows": {"GAN": {"method": "gan"}}}]})
        )
        name = load_suite(path).name
    except (UserError, UnicodeEncodeError):  # a lone surrogate is not a file name here
        return
    finally:
        path.unlink(missing_ok=True) if not any("\ud800" <= c <= "\udfff" for c in stem) else None
    assert (Path("reports") / name).resolve().parent == Path("reports").resolve()


SPEC: dict[str, Any] = {**SMALL["defaults"], "method": "gan", "seed": 0}
del SPEC["sources"]


@given(word=names, step=st.integers())
def test_any_trial_id_has_sixteen_digits(word: str, step: int) -> None:
    spec = TrialSpec.model_validate({**SPEC, "method": word, "dataset": word, "network": word, "options": {word: word}})
    assert re.fullmatch("[0-9a-f]{16}", spec.trial_id)
    folder = Path("/workspace/samples")
    assert sample_grid_path(folder, spec.trial_id, step).parent.parent == folder


@given(label=names)
def test_the_name_of_a_measure_cannot_be_a_path(label: str) -> None:
    for name in (label, f"modes{label}", f"modes_{label}"):
        try:
            Protocol.model_validate({"measures": {name: {"metric": "modes", "n_fake": 1}}})
        except ValueError:
            continue
        assert re.fullmatch("modes(_[a-z0-9_]+)?", name)


@given(key=names | st.lists(names, min_size=1, max_size=4).map("/".join))
def test_a_key_in_mlflow_stays_inside_its_folder(key: str) -> None:
    safe = safe_key(key)
    assert 0 < len(safe) <= MAX_KEY
    assert all(part.strip(".") for part in safe.split("/"))


@given(text=names)
def test_text_in_a_report_opens_no_link(text: str) -> None:
    assert not re.search(r"(?<!\\)(\\\\)*[\[\]<>]", escape_markdown(text))
