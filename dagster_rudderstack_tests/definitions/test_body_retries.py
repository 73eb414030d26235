"""A body of the user's own that fails after its sync has succeeded, in a step with retries."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import MetadataKey, RudderStackResource, build_rudderstack_sync_asset
from dagster_rudderstack.checks.sync_checks import SyncChecks
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.step.world import materialized, run


@pytest.mark.parametrize("checks", [SyncChecks(), None], ids=["checks", "no checks"])
def test_body__fails_after_its_sync(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    checks: SyncChecks | None,
) -> None:
    """The retry reports the sync of the first attempt no second time, and downstream runs."""
    server.add_connection("crm")
    attempts: list[int] = []

    def body(
        context: dg.AssetExecutionContext,
        rudderstack: RudderStackResource,
        sync: Callable[[], Iterator[Any]],
    ) -> Iterator[Any]:
        yield from sync()
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("the first attempt fails")

    asset = build_rudderstack_sync_asset(
        connection_id="crm",
        spec="contacts",
        execute=body,
        checks=checks,
        retry_policy=dg.RetryPolicy(max_retries=1),
    )

    @dg.asset(deps=["contacts"])
    def report() -> None: ...

    result = run([asset, report], rudderstack, instance)

    assert result.success
    assert len(attempts) == 2
    assert len(server.starts()) == 1
    assert materialized(result) == ["contacts", "report"]
    event = result.asset_materializations_for_node("contacts")[0]
    assert MetadataKey.SYNC_ID in event.metadata
