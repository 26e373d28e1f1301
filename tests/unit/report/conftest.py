"""Fixtures of a small suite with records in every state."""

from tests.support.report_suite import *  # noqa: F403
