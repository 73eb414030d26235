"""Assets with a function of the user around the syncs."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    InvalidSettingError,
    RudderStackResource,
    rudderstack_assets,
)
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.discovery.conftest import materialize

Sync = Callable[[], Iterator[Any]]


def test_decorator(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A function of one's own runs around the sync, and yields what it likes besides."""
    server.add_connection("crm")
    told: list[str] = []

    @rudderstack_assets(connection_id="crm", spec=dg.AssetSpec("contacts", deps=["customers"]))
    def contacts(
        context: dg.AssetExecutionContext, rudderstack: RudderStackResource, sync: Sync
    ) -> Iterator[Any]:
        told.append(f"before {context.asset_key.to_user_string()}")
        yield from sync()
        told.append(f"{len(rudderstack.list_syncs('crm'))} sync")

    result = materialize(rudderstack, [contacts])

    assert contacts.op.name == "contacts"
    assert told == ["before contacts", "1 sync"]
    assert len(result.get_asset_materialization_events()) == 1
    assert len(result.get_asset_check_evaluations()) == 1


def test_decorator_of_many(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A function of one's own can stand around the syncs of many connections."""
    server.add_connection("a")
    server.add_connection("b")

    @rudderstack_assets(connections={"a": "asset_a", "b": "asset_b"}, name="both")
    def syncs(
        context: dg.AssetExecutionContext, rudderstack: RudderStackResource, sync: Sync
    ) -> Iterator[Any]:
        for event in sync():
            context.log.info(f"{event.asset_key.to_user_string()} is done")
            yield event

    result = materialize(rudderstack, [syncs])

    assert syncs.op.name == "both"
    assert len(result.get_asset_materialization_events()) == 2


def test_decorator_with_a_body_that_yields_nothing(
    server: LocalRudderStack, rudderstack: RudderStackResource
) -> None:
    """A function that forgets to yield is told what to yield, before anything is synced."""
    server.add_connection("crm")

    @rudderstack_assets(connection_id="crm")
    def contacts(
        context: dg.AssetExecutionContext, rudderstack: RudderStackResource, sync: Sync
    ) -> Any:
        return None

    with pytest.raises(InvalidSettingError, match=r"yield from sync\(\)"):
        materialize(rudderstack, [contacts])

    assert server.starts() == []


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"connection_id": "a", "connections": {"b": "b"}},
        {"connections": {"a": "a"}, "spec": "a"},
    ],
    ids=["neither", "both", "a spec for many"],
)
def test_decorator_without_a_clear_choice(arguments: dict[str, Any]) -> None:
    """One connection or many: anything else is refused."""
    with pytest.raises(InvalidSettingError, match="either connection_id"):
        rudderstack_assets(**arguments)
