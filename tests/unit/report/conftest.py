"""Fixtures of a small suite with records in every state."""

from tests.support.experiment_rows import experiment_row  # noqa: F401
from tests.support.report_suite import *  # noqa: F403
