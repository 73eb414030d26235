"""A body of the user's own around a deferred sync."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

from dagster_rudderstack import RudderStackResource, build_rudderstack_sync_asset
from dagster_rudderstack.step.deferred import FAILED_SYNCS_TAG
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.step.world import failure, run


def test_body__run_of_a_failed_deferred_sync(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The run that fails for a deferred sync fails with the reason and does not call the body."""
    server.add_connection("crm")
    calls: list[str] = []

    def body(
        context: dg.AssetExecutionContext,
        rudderstack: RudderStackResource,
        sync: Callable[[], Iterator[Any]],
    ) -> Iterator[Any]:
        calls.append(context.run.run_id)
        yield from sync()

    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", wait=False, execute=body
    )
    tags = {FAILED_SYNCS_TAG: json.dumps({"crm": "sync-1"})}

    result = run([asset], rudderstack, instance, tags=tags)

    assert failure(result).startswith("Deferred sync sync-1 of connection crm failed.")
    assert calls == []
    assert server.starts() == []
