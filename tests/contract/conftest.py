"""tests.contract.conftest"""

import pytest

from benchmark.core import registry


@pytest.fixture(params=list(registry.methods))
def method_name(request):
    return request.param
