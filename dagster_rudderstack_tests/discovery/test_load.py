"""Which connections of a workspace become assets, and which keys the assets have."""

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
    "tags": RudderStackConnectionSelector(tags={"rudderstack/destination_type": "hubspot"}),
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


def test_translator__returns_none(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """The error for a translator that returns None names the connection."""
    fill(server)

    class Translator(DagsterRudderStackTranslator):
        def get_asset_spec(self, props: RudderStackConnectionProps) -> Any:
            super().get_asset_spec(props)

    with pytest.raises(DiscoveryError, match=r"returned NoneType for connection .* \(contacts\)"):
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

    selector = RudderStackConnectionSelector(tags={"rudderstack/destination_type": "braze"})
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
