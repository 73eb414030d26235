"""What a failing sync looks like in Dagster, for the asset and for the op."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import MetadataKey, build_rudderstack_sync_asset, build_rudderstack_sync_op
from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.definitions.conftest import resource_of


def test_reason_comes_first(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """A RetryPolicy puts words of its own over ours. So RudderStack's reason is a warning in the
    log of each attempt, and the first entry of the failure's metadata."""
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
class Trouble:
    """One way to fail.

    Attributes:
        name: of the test.
        retried: whether Dagster is asked to retry.
        says: words of the failure.
        script: of the syncs; None: there is no such connection.
        fault: what breaks; None: nothing.
        settings: of the resource.
        connection: of the connection.
        running: whether somebody else's sync runs.
    """

    name: str
    retried: bool
    says: str
    script: SyncScript | None = field(default_factory=SyncScript)
    fault: Fault | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    connection: dict[str, Any] = field(default_factory=dict)
    running: bool = False


ONCE = dg.RetryPolicy(max_retries=1)
ENDLESS = SyncScript(never_ends=True)
TROUBLES = [
    Trouble("failed", True, "no such table", SyncScript(status="failed", error="no such table")),
    Trouble("unknown_status", True, "'Completed, with", SyncScript(status="Completed, with ...")),
    Trouble("aborted", False, "was stopped", SyncScript(status="Aborted")),
    Trouble("timeout", True, "timeout of 1 s", ENDLESS, settings={"sync_timeout_seconds": 1}),
    Trouble(
        "unknown_status_until_timeout",
        True,
        "timeout of 1 s",
        SyncScript(never_ends=True, running_status="paused"),
        settings={"sync_timeout_seconds": 1},
    ),
    Trouble(
        "outage",
        True,
        "may be running",
        ENDLESS,
        Fault("status", operation="get_sync", times=None),
        settings={"outage_tolerance_seconds": 0},
    ),
    Trouble(
        "server_error_before_start",
        True,
        "503",
        fault=Fault("status", times=None),
        settings={"request_max_retries": 0},
    ),
    Trouble(
        "rate_limited",
        True,
        "429",
        fault=Fault("status", status=429, times=None),
        settings={"request_max_retries": 0},
    ),
    Trouble(
        "no_answer",
        True,
        "gave no answer",
        fault=Fault("reset", times=None),
        settings={"request_max_retries": 0},
    ),
    Trouble(
        "unreadable_answer",
        True,
        "not of the documented shape",
        fault=Fault("empty", times=None),
        settings={"request_max_retries": 0},
    ),
    Trouble(
        "another_runs", True, "already running", running=True, settings={"on_running_sync": "fail"}
    ),
    Trouble("wrong_token", False, "check the region", settings={"access_token": "wrong-token"}),
    Trouble("forbidden", False, "Edit and Connect", connection={"deny": "no"}),
    Trouble("unknown_connection", False, "Check the id", None),
    Trouble("disabled", False, "is disabled", connection={"enabled": False}),
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
@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.name)
def test_failure(
    trouble: Trouble,
    job: Callable[[dg.ConfigurableResource[Any]], dg.JobDefinition],
    server: LocalRudderStack,
    instance: dg.DagsterInstance,
) -> None:
    """No failing sync is a materialization, the page has the reason, a retry is asked rightly."""
    if trouble.script is not None:
        server.add_connection("crm", script=trouble.script, **trouble.connection)
    if trouble.running:
        server.start_sync("crm", origin="dashboard", script=ENDLESS)
    if trouble.fault is not None:
        server.add_fault(trouble.fault)
    resource = resource_of(server, **trouble.settings)

    result = job(resource).execute_in_process(instance=instance, raise_on_error=False)

    assert not result.success
    assert result.get_asset_materialization_events() == []
    assert not [event for event in result.all_events if event.is_successful_output]
    retries = [event for event in result.all_events if event.is_step_up_for_retry]
    assert bool(retries) is trouble.retried
    (failed,) = (event for event in result.all_events if event.is_step_failure)
    failure = failed.step_failure_data.user_failure_data
    assert failure is not None
    assert trouble.says in (failure.description or "")
    assert failure.metadata[MetadataKey.CONNECTION_ID].value == "crm"
