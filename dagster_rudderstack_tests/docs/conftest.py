"""A local RudderStack with the connections of the guides."""

from collections.abc import Iterator

import pytest

from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.docs.guide import AUDIENCE, CONTACTS


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRudderStack]:
    """A local RudderStack with two connections, whose token is in the environment."""
    with LocalRudderStack() as server:
        server.add_connection(CONTACTS)
        server.add_connection(AUDIENCE)
        monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
        yield server
        assert server.errors == []
