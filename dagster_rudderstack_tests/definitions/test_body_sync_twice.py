"""A body of the user's own that calls `sync` twice in one attempt."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    RudderStackResource,
    SyncChecks,
    build_rudderstack_sync_asset,
)
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.step.group import FAILING, add, group, starts
from dagster_rudderstack_tests.step.world import checks, materialized, run

Sync = Callable[[], Iterator[Any]]


def syncs_twice(context: Any, rudderstack: Any, sync: Sync) -> Iterator[Any]:
    yield from sync()
    yield from sync()


def joins_its_checks(context: Any, rudderstack: Any, sync: Sync) -> Iterator[Any]:
    materialization, check = sync()
    yield dg.MaterializeResult(metadata=materialization.metadata, check_results=[check])
    yield from sync()


def syncs_again_after_a_failure(context: Any, rudderstack: Any, sync: Sync) -> Iterator[Any]:
    try:
        yield from sync()
    except dg.Failure:
        yield from sync()


CHECKS = pytest.mark.parametrize("chosen", [SyncChecks(), None], ids=["checks", "no checks"])


@CHECKS
def test_body__syncs_twice(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    chosen: SyncChecks | None,
) -> None:
    """The second call yields nothing, since the attempt has reported the sync of the first one."""
    add(server, "crm")
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="crm", execute=syncs_twice, checks=chosen
    )

    result = run([asset], rudderstack, instance)

    assert result.success
    assert materialized(result) == ["crm"]
    assert len(result.get_asset_check_evaluations()) == (1 if chosen else 0)
    assert len(server.starts()) == 1


def test_body__syncs_twice_and_joins_its_checks(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The second call yields no check whose result was part of a materialization."""
    add(server, "crm")
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm", execute=joins_its_checks)

    result = run([asset], rudderstack, instance)

    assert result.success
    assert len(result.get_asset_check_evaluations()) == 1


@CHECKS
def test_body__syncs_again_after_a_failure(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    chosen: SyncChecks | None,
) -> None:
    """In a group, the second call syncs and yields only what failed in the first one."""
    add(server, "a", "b")
    server.script_next("b", FAILING)
    asset = group("a", "b", execute=syncs_again_after_a_failure, checks=chosen)

    result = run([asset], rudderstack, instance)

    assert result.success
    assert starts(server) == {"a": 1, "b": 2}
    assert sorted(materialized(result)) == ["a", "b"]
    assert checks(result) == ({"a": True, "b": True} if chosen else {})
