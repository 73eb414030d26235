"""Assets with a function of the user around the syncs."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import InvalidSettingError, RudderStackResource, rudderstack_assets
from dagster_rudderstack.testing import LocalRudderStack

Sync = Callable[[], Iterator[Any]]


def test_decorator(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A user's function runs before and after the sync."""
    server.add_connection("crm")
    calls: list[str] = []

    @rudderstack_assets(connection_id="crm", spec=dg.AssetSpec("contacts", deps=["customers"]))
    def contacts(
        context: dg.AssetExecutionContext, rudderstack: RudderStackResource, sync: Sync
    ) -> Iterator[Any]:
        calls.append(f"before {context.asset_key.to_user_string()}")
        yield from sync()
        calls.append(f"{len(rudderstack.list_syncs('crm'))} sync")

    result = dg.materialize([contacts], resources={"rudderstack": rudderstack})

    assert contacts.op.name == "contacts"
    assert calls == ["before contacts", "1 sync"]
    assert len(result.get_asset_materialization_events()) == 1
    assert len(result.get_asset_check_evaluations()) == 1


def test_decorator__many_connections(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """A user's function runs around the syncs of many connections."""
    server.add_connection("a")
    server.add_connection("b")

    @rudderstack_assets(connections={"a": "asset_a", "b": "asset_b"}, name="both")
    def syncs(
        context: dg.AssetExecutionContext, rudderstack: RudderStackResource, sync: Sync
    ) -> Iterator[Any]:
        for event in sync():
            context.log.info(f"{event.asset_key.to_user_string()} is done")
            yield event

    result = dg.materialize([syncs], resources={"rudderstack": rudderstack})

    assert syncs.op.name == "both"
    assert len(result.get_asset_materialization_events()) == 2


def test_decorator__yields_nothing(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """If the function yields nothing, the error says what to yield, and no sync starts."""
    server.add_connection("crm")

    @rudderstack_assets(connection_id="crm")
    def contacts(
        context: dg.AssetExecutionContext, rudderstack: RudderStackResource, sync: Sync
    ) -> Any:
        return None

    with pytest.raises(InvalidSettingError, match=r"yield from sync\(\)"):
        dg.materialize([contacts], resources={"rudderstack": rudderstack})

    assert server.starts() == []


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"connection_id": "a", "connections": {"b": "b"}},
        {"connections": {"a": "a"}, "spec": "a"},
    ],
    ids=["neither", "both", "spec for many"],
)
def test_decorator__unclear_connections(arguments: dict[str, Any]) -> None:
    """Arguments for one connection and for many cannot be mixed."""
    with pytest.raises(InvalidSettingError, match="either connection_id"):
        rudderstack_assets(**arguments)
