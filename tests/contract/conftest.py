import pytest

from benchmark import plugins


@pytest.fixture(params=list(plugins.methods))
def method_name(request):
    return request.param
