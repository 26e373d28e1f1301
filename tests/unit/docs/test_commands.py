"""The command reference is generated, and in step with the commands."""

import re
import runpy
from pathlib import Path

PAGE = Path("docs/commands.md")


def test_the_page_is_in_step_with_the_commands():
    assert PAGE.read_text() == runpy.run_path("docs/write_commands.py")["page"](), "run python docs/write_commands.py"


def test_examples_name_files_and_options_that_exist():
    page = PAGE.read_text()
    examples = re.findall(r"^python -m benchmark (.*(?:\.yaml|--).*)$", page, re.MULTILINE)
    documented = set(re.findall(r"`(--[a-z-]+)", page))
    assert examples
    for example in examples:
        assert all(Path(path).is_file() for path in re.findall(r"suites/\S+", example)), example
        assert set(re.findall(r"--[a-z-]+", example)) <= documented, example
