"""What Dagster shows when a sync fails, for the asset and for the op."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import MetadataKey, build_rudderstack_sync_asset, build_rudderstack_sync_op
from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.step.world import resource_of


def test_failure__reason(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """RudderStack's reason is a warning in the log of each attempt, and the first entry of the
    failure's metadata, because with a `RetryPolicy` Dagster shows its own message first."""
    server.add_connection("crm", script=SyncScript(status="failed", error="no such table"))
    asset = build_rudderstack_sync_asset(connection_id="crm", retry_policy=ONCE)

    result = dg.materialize(
        [asset],
        instance=instance,
        resources={"rudderstack": resource_of(server)},
        raise_on_error=False,
    )

    warnings = [
        entry.user_message
        for entry in instance.all_logs(result.run_id)
        if entry.level == logging.WARNING
    ]
    assert [line for line in warnings if "RudderStack says: no such table" in line] == warnings
    assert len(warnings) == 2
    (failed,) = (event for event in result.all_events if event.is_step_failure)
    data = failed.step_failure_data.user_failure_data
    assert data is not None
    assert next(iter(data.metadata)) == MetadataKey.ERROR


@dataclass(frozen=True)
class FailureCase:
    """A case in which the step fails.

    Attributes:
        name: The id of the test.
        retried: Whether Dagster is asked to retry the step.
        message: A part of the failure's message.
        script: What the syncs of the connection do. None means that there is no connection.
        fault: The fault of the server. None means that it has none.
        settings: Settings of the resource.
        connection: Arguments of the connection.
        running: Whether a sync that was started outside of Dagster is running.
    """

    name: str
    retried: bool
    message: str
    script: SyncScript | None = field(default_factory=SyncScript)
    fault: Fault | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    connection: dict[str, Any] = field(default_factory=dict)
    running: bool = False


ONCE = dg.RetryPolicy(max_retries=1)
ENDLESS = SyncScript(never_ends=True)
FAILURE_CASES = [
    FailureCase(
        "failed", True, "no such table", SyncScript(status="failed", error="no such table")
    ),
    FailureCase(
        "unknown_status", True, "'Completed, with", SyncScript(status="Completed, with ...")
    ),
    FailureCase("aborted", False, "was stopped", SyncScript(status="Aborted")),
    FailureCase("timeout", True, "timeout of 1 s", ENDLESS, settings={"sync_timeout_seconds": 1}),
    FailureCase(
        "unknown_status_until_timeout",
        True,
        "timeout of 1 s",
        SyncScript(never_ends=True, running_status="paused"),
        settings={"sync_timeout_seconds": 1},
    ),
    FailureCase(
        "outage",
        True,
        "may be running",
        ENDLESS,
        Fault("status", operation="get_sync", times=None),
        settings={"outage_tolerance_seconds": 0},
    ),
    FailureCase(
        "server_error_before_start",
        True,
        "503",
        fault=Fault("status", times=None),
        settings={"request_max_retries": 0},
    ),
    FailureCase(
        "rate_limited",
        True,
        "429",
        fault=Fault("status", status=429, times=None),
        settings={"request_max_retries": 0},
    ),
    FailureCase(
        "no_answer",
        True,
        "did not answer",
        fault=Fault("reset", times=None),
        settings={"request_max_retries": 0},
    ),
    FailureCase(
        "unreadable_answer",
        True,
        "not have the documented format",
        fault=Fault("empty", times=None),
        settings={"request_max_retries": 0},
    ),
    FailureCase(
        "another_sync_is_running",
        True,
        "already running",
        running=True,
        settings={"on_running_sync": "fail"},
    ),
    FailureCase(
        "wrong_token",
        True,
        "right address (api_url)",
        settings={"access_token": "wrong-token", "request_max_retries": 0},
    ),
    FailureCase("forbidden", False, "Edit and Connect", connection={"deny": "no"}),
    FailureCase("unknown_connection", False, "Check the id", None),
    FailureCase("disabled", False, "is disabled", connection={"enabled": False}),
]


def asset_job(resource: dg.ConfigurableResource[Any]) -> dg.JobDefinition:
    """Return a job of one asset."""
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts", retry_policy=ONCE)
    definitions = dg.Definitions(
        [asset],
        jobs=[dg.define_asset_job("activate", [asset.key])],
        resources={"rudderstack": resource},
    )
    return definitions.resolve_job_def("activate")


def op_job(resource: dg.ConfigurableResource[Any]) -> dg.JobDefinition:
    """Return a job of one op that reports a materialization."""
    op = build_rudderstack_sync_op(
        connection_id="crm", name="contacts", asset_key="contacts", retry_policy=ONCE
    )

    @dg.job(resource_defs={"rudderstack": resource})
    def activate() -> None:
        op()

    return activate


@pytest.mark.parametrize("job", [asset_job, op_job])
@pytest.mark.parametrize("case", FAILURE_CASES, ids=lambda case: case.name)
def test_failure(
    case: FailureCase,
    job: Callable[[dg.ConfigurableResource[Any]], dg.JobDefinition],
    server: LocalRudderStack,
    instance: dg.DagsterInstance,
) -> None:
    """A failed step has no materialization, names the reason, and is retried if that can help."""
    if case.script is not None:
        server.add_connection("crm", script=case.script, **case.connection)
    if case.running:
        server.start_sync("crm", origin="dashboard", script=ENDLESS)
    if case.fault is not None:
        server.add_fault(case.fault)
    resource = resource_of(server, **case.settings)

    result = job(resource).execute_in_process(instance=instance, raise_on_error=False)

    assert not result.success
    assert result.get_asset_materialization_events() == []
    assert not [event for event in result.all_events if event.is_successful_output]
    retries = [event for event in result.all_events if event.is_step_up_for_retry]
    assert bool(retries) is case.retried
    (failed,) = (event for event in result.all_events if event.is_step_failure)
    failure = failed.step_failure_data.user_failure_data
    assert failure is not None
    assert case.message in (failure.description or "")
    assert failure.metadata[MetadataKey.CONNECTION_ID].value == "crm"
