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


def test_mark(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """With `mark`, disabled connections are assets with a tag."""
    fill(server)
    specs = load_rudderstack_asset_specs(rudderstack, disabled="mark")

    assert keys_of(specs) == {CONTACTS, AUDIENCE, PAUSED}
    assert [spec.tags.get("rudderstack/enabled") for spec in specs] == [None, None, "false"]


@pytest.mark.parametrize("grouping", ["connection", "destination"])
def test_mark__skipped(
    server: LocalRudderStack, rudderstack: RudderStackResource, grouping: Any
) -> None:
    """The step of a disabled connection skips it, and the run succeeds."""
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
def test_mark__disabled_source_or_destination(
    server: LocalRudderStack, rudderstack: RudderStackResource, grouping: Any, end: str
) -> None:
    """A connection is skipped if its source or its destination is disabled."""
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
def test_mark__another_disabled_later(
    server: LocalRudderStack, rudderstack: RudderStackResource, grouping: Any
) -> None:
    """A connection that is disabled after the load fails its step, next to a marked one."""
    fill(server)
    assets = build_rudderstack_assets_definitions(rudderstack, disabled="mark", grouping=grouping)
    server.update_connection("audience", enabled=False)

    result = materialize(rudderstack, assets, raise_on_error=False)

    assert not result.success


def test_mark__enabled_later(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A marked connection that was enabled after the load is synced."""
    fill(server)
    assets = build_rudderstack_assets_definitions(rudderstack, disabled="mark", grouping="all")
    server.update_connection("paused", enabled=True)

    assert materialize(rudderstack, assets).success
    assert len(server.starts("paused")) == 1
