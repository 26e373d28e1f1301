"""The revision of the source code."""

import pytest

from benchmark import __version__
from benchmark.core.environment import check_revision, revision
from benchmark.core.errors import UserError


def test_a_worker_with_other_code_is_refused():
    assert revision().startswith(f"{__version__}-")
    check_revision(revision())
    check_revision(None)
    with pytest.raises(UserError, match=f"has version {revision()}"):
        check_revision("0.0.0-000000000000")
