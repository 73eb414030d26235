"""Connections that are disabled in RudderStack."""

from typing import Any

import pytest

from dagster_rudderstack import (
    RudderStackResource,
    build_rudderstack_assets_definitions,
    load_rudderstack_asset_specs,
)
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.discovery.conftest import (
    AUDIENCE,
    CONTACTS,
    PAUSED,
    fill,
    keys_of,
    materialize,
)


def test_disabled_are_marked(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """Disabled connections come along, marked, if asked for."""
    fill(server)
    specs = load_rudderstack_asset_specs(rudderstack, disabled="mark")

    assert keys_of(specs) == {CONTACTS, AUDIENCE, PAUSED}
    assert [spec.tags.get("rudderstack/enabled") for spec in specs] == [None, None, "false"]


@pytest.mark.parametrize("grouping", ["connection", "destination"])
def test_marked_connection_is_skipped(
    server: LocalRudderStack, rudderstack: RudderStackResource, grouping: Any
) -> None:
    """A connection that is marked as disabled is skipped by its step, and fails nothing."""
    fill(server)
    assets = build_rudderstack_assets_definitions(rudderstack, disabled="mark", grouping=grouping)

    result = materialize(rudderstack, assets)

    assert result.success
    materialized = {
        event.asset_key.to_user_string()
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    assert materialized == {CONTACTS, AUDIENCE}


@pytest.mark.parametrize("grouping", ["connection", "all"])
@pytest.mark.parametrize("end", ["source", "destination"])
def test_marked_for_its_source_or_destination_is_skipped(
    server: LocalRudderStack, rudderstack: RudderStackResource, grouping: Any, end: str
) -> None:
    """A connection is not synced while its source or destination is disabled."""
    fill(server)
    server.add_source("off-src", name="Off", enabled=end != "source")
    server.add_destination("off", name="Off", type="HS", enabled=end != "destination")
    server.add_connection("off", "off-src", "off")
    assets = build_rudderstack_assets_definitions(rudderstack, disabled="mark", grouping=grouping)

    result = materialize(rudderstack, assets)

    assert result.success
    assert server.starts("off") == []
    assert len(server.starts()) == 2


@pytest.mark.parametrize("grouping", ["connection", "destination", "all"])
def test_others_fail_beside_a_marked_connection(
    server: LocalRudderStack, rudderstack: RudderStackResource, grouping: Any
) -> None:
    """A connection that is disabled later fails its step, though another one is marked."""
    fill(server)
    assets = build_rudderstack_assets_definitions(rudderstack, disabled="mark", grouping=grouping)
    server.update_connection("audience", enabled=False)

    result = materialize(rudderstack, assets, raise_on_error=False)

    assert not result.success


def test_marked_connection_that_is_enabled_again(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """A marked connection that has been enabled meanwhile is synced."""
    fill(server)
    assets = build_rudderstack_assets_definitions(rudderstack, disabled="mark", grouping="all")
    server.update_connection("paused", enabled=True)

    assert materialize(rudderstack, assets).success
    assert len(server.starts("paused")) == 1
