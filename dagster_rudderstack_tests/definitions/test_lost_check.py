"""A step that fails after its materialization is stored and before its check, and is retried."""

from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    MetadataKey,
    RejectedRowsCheck,
    RudderStackResource,
    build_rudderstack_sync_asset,
)
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.step.world import checks, materialized, run


def test_retry__materialization_is_stored(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The retry yields the check, adds no second materialization, and downstream runs."""
    server.add_connection("crm")
    fail_first_check(monkeypatch)
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec="contacts", retry_policy=dg.RetryPolicy(max_retries=1)
    )

    @dg.asset(deps=["contacts"])
    def report() -> None: ...

    result = run([asset, report], rudderstack, instance)

    assert result.success
    assert any(event.is_step_up_for_retry for event in result.all_events)
    assert len(server.starts()) == 1
    assert checks(result) == {"contacts": True}
    assert materialized(result) == ["contacts", "report"]
    event = result.asset_materializations_for_node("contacts")[0]
    assert MetadataKey.SYNC_ID in event.metadata


def fail_first_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the step when it evaluates the check on rejected rows for the first time."""
    evaluate = RejectedRowsCheck.result_of_metadata
    calls: list[object] = []

    def fail_once(check: RejectedRowsCheck, *arguments: Any) -> dg.AssetCheckResult:
        calls.append(arguments)
        if len(calls) == 1:
            raise OSError("database is locked")
        return evaluate(check, *arguments)

    monkeypatch.setattr(RejectedRowsCheck, "result_of_metadata", fail_once)
