"""Fixtures: a local RudderStack with one connection, and a resource for it."""

import pytest

from dagster_rudderstack import (
    RudderStackResource,
)
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.resource.world import SCRIPT, resource_for


@pytest.fixture
def server(local_rudderstack: LocalRudderStack) -> LocalRudderStack:
    """A RudderStack with one connection, whose syncs end at once."""
    local_rudderstack.add_connection("crm", script=SCRIPT)
    return local_rudderstack


@pytest.fixture
def resource(server: LocalRudderStack) -> RudderStackResource:
    """A resource for that RudderStack."""
    return resource_for(server)
