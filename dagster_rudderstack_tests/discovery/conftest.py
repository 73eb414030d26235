"""A local RudderStack with a small workspace, its resource, and helpers to read assets."""

import logging
from collections.abc import Iterable
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.testing import Fault, LocalRudderStack

CONTACTS = "rudderstack/hubspot/contact/customers"
AUDIENCE = "rudderstack/braze_eu/big_spenders"
PAUSED = "rudderstack/braze_eu/customers"

OUTAGE = Fault("status", operation="list_connections", status=503, times=None)

UNREACHABLE = RudderStackResource(
    access_token="token", api_url="http://127.0.0.1:9", request_max_retries=0
)
"""A RudderStack that cannot be reached: nothing listens on this port."""


@pytest.fixture
def rudderstack(server: LocalRudderStack) -> RudderStackResource:
    """The resource of the local RudderStack. It polls often and retries nothing."""
    return RudderStackResource(
        access_token=server.access_token,
        api_url=server.url,
        request_max_retries=0,
        poll_min_interval_seconds=0.02,
        poll_max_interval_seconds=0.02,
    )


def fill(server: LocalRudderStack) -> None:
    """Add a table and a SQL model, HubSpot and Braze, and three connections between them."""
    server.add_source(
        "customers-src",
        name="Customers",
        definition="snowflake",
        config={"schema": "ANALYTICS", "table": "CUSTOMERS", "primaryKey": "id"},
    )
    server.add_source(
        "spenders-src",
        name="Big spenders",
        source_type="model",
        definition="snowflake",
        config={
            "sql": "select c.id, lower(c.email) as email, o.total as ltv "
            "from analytics.customers c join analytics.orders_by_customer o on o.id = c.id"
        },
    )
    server.add_destination("hubspot", name="HubSpot", type="HS", config={"apiKey": "s3cr3t"})
    server.add_destination("braze", name="Braze (EU)", type="BRAZE", config={"apiKey": "s3cr3t"})
    server.add_connection(
        "contacts",
        "customers-src",
        "hubspot",
        object="Contact",
        identifiers={"EMAIL": "email"},
        mappings={"FIRST_NAME": "firstname"},
        constants=[{"key": "origin", "value": "s3cr3t"}],
    )
    server.add_connection(
        "audience",
        "spenders-src",
        "braze",
        identifiers={"id": "external_id"},
        mappings={"email": "email", "ltv": "lifetime_value"},
        schedule={"type": "basic", "everyMinutes": 30},
    )
    server.add_connection("paused", "customers-src", "braze", enabled=False)


def keys_of(assets: Iterable[dg.AssetSpec | dg.AssetsDefinition]) -> set[str]:
    """Return the keys of assets."""
    specs = [spec for each in assets for spec in getattr(each, "specs", [each])]
    return {spec.key.to_user_string() for spec in specs}


def deps_of(specs: Iterable[dg.AssetSpec]) -> dict[str, set[str]]:
    """Return the keys that each asset depends on."""
    return {
        spec.key.to_user_string(): {dep.asset_key.to_user_string() for dep in spec.deps}
        for spec in specs
    }


def materialize(
    rudderstack: RudderStackResource, assets: list[dg.AssetsDefinition], **settings: Any
) -> dg.ExecuteInProcessResult:
    """Materialize assets in this process."""
    return dg.materialize(assets, resources={"rudderstack": rudderstack}, **settings)


def logged(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    """Return the messages of one level in the log, the oldest first."""
    return [each.getMessage() for each in caplog.records if each.levelno == level]
