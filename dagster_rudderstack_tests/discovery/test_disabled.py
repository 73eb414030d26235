"""Connections that are disabled in RudderStack."""

from typing import Any

import pytest

from dagster_rudderstack import (
    RudderStackConnectionSelector,
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
    logged,
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


TABLE = {"schema": "ANALYTICS", "table": "CUSTOMERS"}


@pytest.fixture
def workspace(server: LocalRudderStack) -> None:
    """Add a disabled source and a disabled destination with connections to the small workspace."""
    fill(server)
    server.add_source("off-src", name="Old", config=TABLE, enabled=False)
    server.add_destination("off", name="Old CRM", type="HS", enabled=False)
    server.add_connection("source-off", "off-src", "hubspot")
    server.add_connection("destination-off", "customers-src", "off")
    server.add_connection("all-off", "off-src", "off", enabled=False)


OFF = "Connection 'Customers to Braze (EU)' (paused) is left out: the connection is disabled in {}"
SOURCE = "Connection 'Old to HubSpot' (source-off) is left out: its source 'Old' is disabled in {}"
DESTINATION = (
    "Connection 'Customers to Old CRM' (destination-off) is left out: its destination 'Old CRM' is "
    "disabled in {}"
)
ALL = (
    "Connection 'Old to Old CRM' (all-off) is left out: the connection and its source 'Old' and "
    "its destination 'Old CRM' are disabled in {}"
)
REMEDY = (
    "To include a connection, enable it in RudderStack's dashboard and refresh the snapshot "
    "(without one, reload the code location), or pass disabled='mark' (in YAML: disabled: mark)."
)

NAMED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "id": ({"ids": ["contacts", "paused"]}, [OFF]),
    "name": ({"names": ["customers to BRAZE (EU)", "Big*"]}, [OFF]),
    "source": ({"sources": ["Big spenders", "Old"]}, [SOURCE, ALL]),
    "destination": ({"destinations": ["HubSpot", "off"]}, [DESTINATION, ALL]),
    "id and name of one connection": (
        {"ids": ["paused", "contacts"], "names": ["Customers to Braze (EU)", "*"]},
        [OFF],
    ),
    "source with only disabled connections to a destination": (
        {"sources": ["Customers", "Big spenders"], "destinations": ["Braze (EU)"]},
        [OFF],
    ),
    "source with an enabled connection": ({"sources": ["Customers"]}, []),
    "wildcard": ({"ids": ["contacts", "pause?"]}, []),
    "connection that does not meet another criterion": (
        {"ids": ["contacts", "paused"], "destinations": ["HubSpot"]},
        [],
    ),
    "no criterion": ({}, []),
}


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(("criteria", "lines"), NAMED.values(), ids=NAMED.keys())
def test_named(
    rudderstack: RudderStackResource,
    caplog: pytest.LogCaptureFixture,
    criteria: dict[str, Any],
    lines: list[str],
) -> None:
    """A value of the selector that names only disabled connections gives a warning. It says what is
    disabled and how to include it."""
    selector = RudderStackConnectionSelector(**criteria)

    assert load_rudderstack_asset_specs(rudderstack, selector=selector)

    expected = "\n".join([*(line.format("RudderStack.") for line in lines), REMEDY])
    assert logged(caplog) == ([expected] if lines else [])


@pytest.mark.usefixtures("workspace")
def test_named__mark(rudderstack: RudderStackResource, caplog: pytest.LogCaptureFixture) -> None:
    """With `mark`, a disabled connection that the selector names gives no warning."""
    selector = RudderStackConnectionSelector(ids=["paused"])

    specs = load_rudderstack_asset_specs(rudderstack, selector=selector, disabled="mark")

    assert keys_of(specs) == {PAUSED}
    assert logged(caplog) == []


NOTHING_LEFT: dict[str, Any] = {
    "id": RudderStackConnectionSelector(ids=["paused"]),
    "wildcard": RudderStackConnectionSelector(names=["* to braze*"], sources=["cust*"]),
    "function": lambda props: props.id == "paused",
}


@pytest.mark.parametrize("selector", NOTHING_LEFT.values(), ids=NOTHING_LEFT.keys())
def test_nothing_left(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    caplog: pytest.LogCaptureFixture,
    selector: Any,
) -> None:
    """A selection without an enabled connection gives one warning that there are no assets."""
    fill(server)

    assert load_rudderstack_asset_specs(rudderstack, selector=selector) == []

    (warning,) = logged(caplog)
    assert warning == "\n".join(
        [
            "There are no assets, since no selected connection is enabled.",
            OFF.format("RudderStack."),
            REMEDY,
        ]
    )


def test_nothing_left__many(
    server: LocalRudderStack, rudderstack: RudderStackResource, caplog: pytest.LogCaptureFixture
) -> None:
    """If all connections of a workspace are disabled, the warning has three of them, a few names,
    and the number of the others."""
    server.add_source("s", name="Customers", config=TABLE)
    server.add_destination("d", name="HubSpot", enabled=False)
    for number in range(100):
        server.add_connection(f"c{number:02}", "s", "d")

    assert load_rudderstack_asset_specs(rudderstack) == []

    (warning,) = logged(caplog)
    first, *lines = warning.splitlines()
    assert first == "There are no assets, since no selected connection is enabled."
    assert [line.partition(" is left out")[0] for line in lines[:3]] == [
        f"Connection 'Customers to HubSpot' (c0{number})" for number in range(3)
    ]
    assert lines[3].endswith("'Customers to HubSpot' (c22) and 77 more connections.")
    assert lines[4:] == [REMEDY]
