"""Two assets of one connection, which Dagster takes for two things."""

import logging
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.reconstruct import ReconstructableRepository

from dagster_rudderstack import (
    InvalidSettingError,
    RudderStackResource,
    build_rudderstack_assets_definitions,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
)
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.definitions import two_assets


def asset(key: str, connection_id: str = "crm", **options: Any) -> dg.AssetsDefinition:
    """Return the asset of a connection."""
    return build_rudderstack_sync_asset(connection_id=connection_id, spec=key, **options)


@pytest.fixture
def location(
    server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch
) -> ReconstructableRepository:
    """The code location `two_assets`."""
    server.add_connection("crm")
    server.add_connection("ads")
    monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
    monkeypatch.setenv("RUDDERSTACK_API_URL", server.url)
    return ReconstructableRepository.for_module(two_assets.__name__, "definitions")


WARNING = (
    "Connection crm belongs to several assets: {}. If each is materialized, the connection is "
    "synced several times. Keep only one of them."
)

ASSETS = {
    "one": [WARNING.format("'one', 'two'")],
    "two": [WARNING.format("'two', 'one'")],
    "three": [],
    "four": [],
}


@pytest.mark.parametrize(("key", "warnings"), ASSETS.items(), ids=ASSETS.keys())
def test_log(location: ReconstructableRepository, key: str, warnings: list[str]) -> None:
    """The log of a step names another asset of the connection, once. An asset of another workspace
    or connection, or without a step, does not count."""
    job = location.get_reconstructable_job("__ASSET_JOB")
    with (
        dg.instance_for_test() as instance,
        dg.execute_job(job, instance, asset_selection=[dg.AssetKey(key)]) as result,
    ):
        entries = instance.all_logs(result.run_id)

    assert result.success
    found = [each.user_message for each in entries if each.level == logging.WARNING]
    assert found == warnings


def test_sensor() -> None:
    """A polling sensor does not accept two assets of one connection. The error names both."""
    with pytest.raises(InvalidSettingError, match="'one' and 'two' both belong to connection crm"):
        build_rudderstack_polling_sensor(assets=[asset("one"), asset("two")])


def test_discovery(server: LocalRudderStack, caplog: pytest.LogCaptureFixture) -> None:
    """Discovery warns if an upstream asset syncs one of the connections, too."""
    server.add_source("s", name="Customers")
    server.add_destination("d", name="HubSpot")
    server.add_connection("crm", "s", "d")
    rudderstack = RudderStackResource(access_token=server.access_token, api_url=server.url)

    build_rudderstack_assets_definitions(
        rudderstack, upstream_assets=[asset("one"), asset("two", "other")]
    )

    (warning,) = [each for each in caplog.messages if "several assets" in each]
    assert "Connection crm belongs to several assets: 'rudderstack/hubspot/customers', 'one'." in (
        warning
    )
