import pytest

from tests.support.hub import HubFixture


@pytest.fixture
def hub_fixture() -> HubFixture:
    return HubFixture()
