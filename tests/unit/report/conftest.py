"""Fixtures of a small suite with records in every state."""

from tests.support.report_suite import (  # noqa: F401
    all_finished,
    derived_suite,
    make_record,
    mixed,
    quick,
    real,
    row_of,
    small_suite,
    specs_of,
    suite,
    suite_file,
)
