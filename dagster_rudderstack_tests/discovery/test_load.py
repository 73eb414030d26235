"""Which connections of a workspace become assets, and which keys the assets have."""

import logging
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    DagsterRudderStackTranslator,
    DiscoveryError,
    InvalidSettingError,
    MetadataKey,
    RudderStackConnectionProps,
    RudderStackConnectionSelector,
    RudderStackResource,
    build_rudderstack_sync_asset,
    fetch_rudderstack_workspace,
    load_rudderstack_asset_specs,
)
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.discovery.conftest import (
    AUDIENCE,
    CONTACTS,
    UNREACHABLE,
    deps_of,
    fill,
    keys_of,
    logged,
)


def test_specs(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """Each enabled connection is an asset, downstream of the tables that its source reads."""
    fill(server)

    assert deps_of(load_rudderstack_asset_specs(rudderstack)) == {
        CONTACTS: {"snowflake/analytics/customers"},
        AUDIENCE: {"snowflake/analytics/customers", "snowflake/analytics/orders_by_customer"},
    }


SELECTORS: dict[str, Any] = {
    "selector": RudderStackConnectionSelector(destinations=["HubSpot"]),
    "function": lambda props: props.destination_kind == "hubspot",
    "tags": RudderStackConnectionSelector(tags={"rudderstack/destination_type": "HS"}),
}


@pytest.mark.parametrize("selector", SELECTORS.values(), ids=SELECTORS.keys())
def test_selector(
    server: LocalRudderStack, rudderstack: RudderStackResource, selector: Any
) -> None:
    """Only the selected connections become assets."""
    fill(server)

    assert keys_of(load_rudderstack_asset_specs(rudderstack, selector=selector)) == {CONTACTS}


def test_selector__unknown_name(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A selector with an unknown name raises an error that suggests the nearest name."""
    fill(server)

    with pytest.raises(DiscoveryError, match="Did you mean 'hubspot'"):
        load_rudderstack_asset_specs(
            rudderstack, selector=RudderStackConnectionSelector(destinations=["hubsqot"])
        )


def test_translator(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A user's translator makes the assets. They keep the id of the connection."""
    fill(server)

    class Translator(DagsterRudderStackTranslator):
        def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec:
            return dg.AssetSpec(["crm", props.id], owners=["team:crm"])

    specs = load_rudderstack_asset_specs(rudderstack, Translator())

    assert keys_of(specs) == {"crm/contacts", "crm/audience"}
    assert {spec.metadata[MetadataKey.CONNECTION_ID].value for spec in specs} == {
        "contacts",
        "audience",
    }


class WithoutBraze(DagsterRudderStackTranslator):
    """Leaves out the connections to Braze, and gives all others the same key."""

    def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec | None:  # noqa: D102 - overrides
        if props.destination_kind == "braze":
            return None
        return super().get_asset_spec(props).replace_attributes(key="crm")


def test_translator__leaves_out(
    server: LocalRudderStack, rudderstack: RudderStackResource, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection for which the translator returns None becomes no asset. The log counts them."""
    fill(server)

    specs = load_rudderstack_asset_specs(rudderstack, WithoutBraze(), disabled="mark")

    assert keys_of(specs) == {"crm"}
    assert logged(caplog, logging.INFO) == [
        "Left out connections for which get_asset_spec returned None: 2 of 3."
    ]


def test_translator__leaves_out_duplicates(
    server: LocalRudderStack, rudderstack: RudderStackResource, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection that the translator leaves out has no duplicates, no uncertain tables and no
    tags."""
    fill(server)
    upstream: list[dg.AssetsDefinition | dg.AssetSpec] = [
        build_rudderstack_sync_asset(connection_id="audience", spec="audience"),
        dg.AssetSpec(["one", "analytics", "orders_by_customer"]),
        dg.AssetSpec(["two", "analytics", "orders_by_customer"]),
    ]
    selector = RudderStackConnectionSelector(tags={"rudderstack/destination_type": "HS"})

    load_rudderstack_asset_specs(rudderstack, upstream_assets=upstream)
    reported = logged(caplog)
    caplog.clear()
    specs = load_rudderstack_asset_specs(
        rudderstack, WithoutBraze(), selector, upstream_assets=upstream
    )

    assert ["orders_by_customer" in each or "several assets" in each for each in reported] == [
        True,
        True,
    ]
    assert logged(caplog) == []
    assert keys_of(specs) == {"crm"}


def test_translator__leaves_out_all(
    server: LocalRudderStack, rudderstack: RudderStackResource, caplog: pytest.LogCaptureFixture
) -> None:
    """A translator that returns None for all connections, such as one without a `return`, gives a
    warning."""
    fill(server)

    class Translator(DagsterRudderStackTranslator):
        def get_asset_spec(self, props: RudderStackConnectionProps) -> Any:
            super().get_asset_spec(props)

    assert load_rudderstack_asset_specs(rudderstack, Translator()) == []
    (warning,) = logged(caplog)
    assert warning == (
        "Left out connections for which get_asset_spec returned None: 2 of 2. There are no assets. "
        "Check that get_asset_spec returns its spec."
    )


def test_translator__wrong_type(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """The error for a translator that returns something else names the connection."""
    fill(server)

    class Translator(DagsterRudderStackTranslator):
        def get_asset_spec(self, props: RudderStackConnectionProps) -> Any:
            return super().get_asset_spec(props).key

    with pytest.raises(
        DiscoveryError, match=r"returned AssetKey\(.*\) for connection .* \(contacts\): expected"
    ):
        load_rudderstack_asset_specs(rudderstack, Translator())


WRONG_ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "class instead of a translator": (
        {"translator": DagsterRudderStackTranslator},
        r"such as DagsterRudderStackTranslator\(\)",
    ),
    "name instead of a selector": ({"selector": "HubSpot"}, "selector takes .* not 'HubSpot'"),
    "dict instead of a selector": (
        {"selector": {"ids": ["a"]}},
        "selector takes a RudderStackConn",
    ),
}


@pytest.mark.parametrize(
    ("arguments", "words"), WRONG_ARGUMENTS.values(), ids=WRONG_ARGUMENTS.keys()
)
def test_wrong_argument(arguments: dict[str, Any], words: str) -> None:
    """A wrong translator or selector is refused before any request."""
    with pytest.raises(InvalidSettingError, match=words):
        load_rudderstack_asset_specs(UNREACHABLE, **arguments)


def test_duplicate_key(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """Two connections with the same key are an error that names both and how to fix it."""
    fill(server)
    server.add_connection("twin", "customers-src", "hubspot", object="Contact")

    with pytest.raises(DiscoveryError) as caught:
        load_rudderstack_asset_specs(rudderstack)

    message = caught.value.message
    assert "'Customers to HubSpot (Contact)' (contacts)" in message
    assert "'Customers to HubSpot (Contact)' (twin)" in message
    assert repr(CONTACTS) in message
    assert "key_by: id" in message


def test_duplicate_key__not_selected(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """A connection that is not selected may have the key of a selected one."""
    fill(server)

    class Translator(DagsterRudderStackTranslator):
        def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec:
            return super().get_asset_spec(props).replace_attributes(key="crm")

    selector = RudderStackConnectionSelector(tags={"rudderstack/destination_type": "BRAZE"})
    (spec,) = load_rudderstack_asset_specs(rudderstack, Translator(), selector)

    assert spec.metadata[MetadataKey.CONNECTION_ID].value == "audience"


def test_duplicate_key__keys_by_id(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """Keys made of ids are unique."""
    fill(server)
    server.add_connection("twin", "customers-src", "hubspot", object="Contact")

    specs = load_rudderstack_asset_specs(rudderstack, DagsterRudderStackTranslator("id"))

    assert keys_of(specs) == {"rudderstack/contacts", "rudderstack/twin", "rudderstack/audience"}


@pytest.mark.parametrize(
    ("template", "link"),
    [
        ("https://app.example.com/{connection_id}", "https://app.example.com/contacts"),
        ("https://app.example.com/{connection_id}/{sync_id}", None),
        (dg.EnvVar("RUDDERSTACK_DASHBOARD"), None),
    ],
    ids=["link to a connection", "link to a sync", "environment variable"],
)
def test_link(server: LocalRudderStack, template: str, link: str | None) -> None:
    """The asset links to the page of its connection, if the URL is known while it loads."""
    fill(server)
    snapshot = fetch_rudderstack_workspace(
        RudderStackResource(access_token=server.access_token, api_url=server.url)
    )
    rudderstack = RudderStackResource(
        access_token=server.access_token, api_url=server.url, dashboard_url=template
    )

    first = load_rudderstack_asset_specs(rudderstack, snapshot=snapshot)[0]

    shown = first.metadata.get(MetadataKey.LINK)
    assert (shown.value if shown else None) == link


@pytest.mark.parametrize(
    "selector",
    [
        lambda _: False,
        RudderStackConnectionSelector(ids=["contacts"], sources=["Big spenders"]),
    ],
    ids=["predicate", "criteria that exclude each other"],
)
def test_selector__nothing(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    caplog: pytest.LogCaptureFixture,
    selector: Any,
) -> None:
    """A selector that selects no connection of the workspace is a warning."""
    fill(server)

    specs = load_rudderstack_asset_specs(rudderstack, selector=selector, disabled="mark")

    assert specs == []

    (warning,) = logged(caplog)
    assert warning == (
        "There are no assets: the selector selects none of the 3 connections of the workspace."
    )
