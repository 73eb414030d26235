"""The resource in assets and ops of a user, and direct calls of them."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    MetadataKey,
    RudderStackResource,
    RudderStackSyncConfig,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_op,
)
from dagster_rudderstack.errors import (
    InvalidSettingError,
    RudderStackError,
    SyncFailedError,
)
from dagster_rudderstack.testing import LocalRudderStack, SyncScript


@dg.asset
def own_asset(rudderstack: RudderStackResource) -> dg.MaterializeResult[Any]:
    """An asset of a user."""
    report = rudderstack.sync_and_poll("crm")
    return dg.MaterializeResult(metadata={"sync": report.id, "rows": report.rows_total})


@dg.asset
def own_asset_with_context(
    context: dg.AssetExecutionContext, rudderstack: RudderStackResource
) -> dg.MaterializeResult[Any]:
    """An asset of a user that passes its context."""
    report = rudderstack.sync_and_poll("crm", context=context)
    return dg.MaterializeResult(metadata={"sync": report.id})


@dg.op
def own_op(context: dg.OpExecutionContext, rudderstack: RudderStackResource) -> str:
    """An op of a user."""
    return rudderstack.sync_and_poll("crm", context=context).id


@dg.op
def polling_op(rudderstack: RudderStackResource) -> str:
    """An op that starts a sync in one call and waits for it in another."""
    sync_id = rudderstack.start_sync("crm")
    return rudderstack.poll_sync("crm", sync_id).id


@dg.job
def own_job() -> None:
    """A job with the op."""
    own_op()


@dg.job
def polling_job() -> None:
    """A job with the op that polls."""
    polling_op()


def test_materialize(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """The resource works in an asset of a user, and sends its requests over one connection."""
    server.add_connection("crm", script=SyncScript(rows_failed=0))

    result = dg.materialize([own_asset], resources={"rudderstack": resource})

    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["sync"].value == server.syncs("crm")[0].id
    assert server.tcp_connections == 1


@pytest.mark.parametrize("job", [own_job, polling_job])
def test_job(
    job: dg.JobDefinition, server: LocalRudderStack, resource: RudderStackResource
) -> None:
    """The resource works in an op of a user."""
    result = job.execute_in_process(resources={"rudderstack": resource})

    assert result.success
    assert [sync.id for sync in server.syncs("crm")] == [result.output_for_node(job.nodes[0].name)]


@pytest.mark.parametrize(
    "call",
    [own_asset, own_asset_with_context, own_op, polling_op],
    ids=["asset", "asset_with_context", "op", "polling_op"],
)
def test_direct_call(
    call: Callable[..., Any], server: LocalRudderStack, resource: RudderStackResource
) -> None:
    """A direct call of an asset or op needs no run, no instance and no `with`."""
    build = dg.build_op_context if isinstance(call, dg.OpDefinition) else dg.build_asset_context
    takes_context = call in (own_asset_with_context, own_op)
    context = build(resources={"rudderstack": resource})

    call(context) if takes_context else call(rudderstack=resource)
    call(build(), rudderstack=resource) if takes_context else call(context)

    assert len(server.starts("crm")) == 2


def test_failure(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """In a step, a failed sync is a `dagster.Failure` with the reason and metadata."""
    server.set_script("crm", SyncScript(status="failed", error="no such table"))
    result = dg.materialize([own_asset], resources={"rudderstack": resource}, raise_on_error=False)

    (event,) = [event for event in result.all_events if event.is_step_failure]
    failure = event.step_failure_data.user_failure_data
    assert failure is not None
    assert "no such table" in (failure.description or "")
    sync_id = server.syncs("crm")[0].id
    assert failure.metadata[MetadataKey.SYNC_ID].value == sync_id
    assert failure.metadata[MetadataKey.LINK].value == f"https://app.example/crm/{sync_id}"


@pytest.mark.parametrize(
    "settings",
    [{"connection_id": "a/b"}, {"sync_type": "all"}, {"timeout_seconds": 0}],
    ids=",".join,
)
def test_failure__bad_arguments(
    settings: dict[str, Any], server: LocalRudderStack, resource: RudderStackResource
) -> None:
    """In a step, a wrong argument is a failure that allows no retry."""
    arguments = {"connection_id": "crm", **settings}

    @dg.asset
    def wrong(rudderstack: RudderStackResource) -> None:
        with pytest.raises(dg.Failure) as caught:
            rudderstack.sync_and_poll(**arguments)
        assert caught.value.allow_retries is False
        assert isinstance(caught.value.__context__, InvalidSettingError)
        assert repr(next(iter(settings.values()))) in str(caught.value.description)

    assert dg.materialize([wrong], resources={"rudderstack": resource}).success
    assert server.requests == []


def test_failure__poll_sync(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """Polling with a wrong id is a failure in a step, and an error outside."""

    @dg.asset
    def wrong(rudderstack: RudderStackResource) -> None:
        with pytest.raises(dg.Failure, match="is not an id"):
            rudderstack.poll_sync("a/b", "s1")
        with pytest.raises(dg.Failure, match="is not an id"):
            rudderstack.poll_sync("crm", "a/b")

    assert dg.materialize([wrong], resources={"rudderstack": resource}).success
    with resource as rudderstack, pytest.raises(InvalidSettingError):
        rudderstack.poll_sync("a/b", "s1")
    assert server.requests == []


def test_failure__context_without_a_run(
    server: LocalRudderStack, resource: RudderStackResource
) -> None:
    """With a context, the error is a `dagster.Failure` even if there is no run."""
    server.set_script("crm", SyncScript(status="failed"))

    with dg.build_asset_context() as context, pytest.raises(dg.Failure) as caught:
        own_asset_with_context(context, rudderstack=resource)
    with pytest.raises(RudderStackError):
        own_asset(rudderstack=resource)
    assert isinstance(caught.value.__context__, SyncFailedError)


@pytest.mark.filterwarnings("ignore:coroutine 'BaseEventLoop.shutdown_asyncgens'")
def test_event_loop__materialize(resource: RudderStackResource) -> None:
    """A materialization works in a running event loop. Dagster gives the warning for any asset."""

    async def cell() -> bool:
        return dg.materialize([own_asset], resources={"rudderstack": resource}).success

    assert asyncio.run(cell())
    gc.collect()


def test_direct_call__factories(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """A direct call of an asset or op of the factories yields its results."""
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm", sync_type="full")
    op = build_rudderstack_sync_op(connection_id="crm")
    in_asset = dg.build_asset_context(resources={"rudderstack": resource})
    in_op = dg.build_op_context(resources={"rudderstack": resource})
    events: Any = asset(in_asset)
    outputs: Any = op(in_op, RudderStackSyncConfig())
    materialization, check = events
    (output,) = outputs

    first, second = server.syncs("crm")
    assert first.sync_type == "full"
    assert materialization.metadata[MetadataKey.SYNC_ID].value == first.id
    assert materialization.metadata[MetadataKey.ROWS_FAILED].value == 1
    assert (check.check_name, check.passed) == ("rejected_rows", False)
    assert output.value.id == second.id
    assert output.metadata[MetadataKey.SYNC_ID].value == second.id
