"""The signatures of the resource, the reports and the factories. mypy checks this file.

A change here can break the code of users, so it needs an entry in the changelog.
"""

from datetime import datetime
from typing import Any

import dagster as dg
from typing_extensions import assert_type

from dagster_rudderstack import (
    ApiError,
    Connection,
    DurationCheck,
    MetadataKey,
    NoRowsCheck,
    NothingChangedCheck,
    RejectedRowsCheck,
    RudderStackError,
    RudderStackMetadataSet,
    RudderStackResource,
    StatusError,
    Sync,
    SyncChecks,
    SyncError,
    SyncMetrics,
    SyncReport,
    SyncState,
    TransportError,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_op,
    latest_failed_rows_sql,
    rudderstack_sync_op,
)

RudderStackResource(access_token="token")
RudderStackResource(access_token=dg.EnvVar("TOKEN"), region="eu")
resource = RudderStackResource(
    access_token=dg.EnvVar("TOKEN"),
    api_url=dg.EnvVar("URL"),
    connect_timeout_seconds=5,
    read_timeout_seconds=dg.EnvVar.int("READ_TIMEOUT"),
    request_max_retries=3,
    max_concurrent_requests=4,
    max_requests_per_second=2.5,
    ca_bundle="/etc/ssl/company.pem",
    proxy_url="http://proxy:3128",
    extra_headers={"X-Key": "value"},
    poll_min_interval_seconds=1.0,
    poll_max_interval_seconds=30.0,
    poll_growth=0.05,
    poll_jitter=0.1,
    sync_timeout_seconds=3600,
    stop_on_timeout=True,
    outage_tolerance_seconds=600,
    start_settling_seconds=30,
    on_running_sync="wait",
    stop_on_termination="run_canceled",
    check_connection=True,
    dashboard_url="https://app/{sync_id}",
)
RudderStackResource(access_token="token", on_running_sync="queue")  # type: ignore[arg-type]
RudderStackResource(access_token="token", misspelled=1)  # type: ignore[call-arg]


def in_a_notebook(moment: datetime) -> None:
    with resource as rudderstack:
        assert_type(rudderstack, RudderStackResource)
        assert_type(rudderstack.start_sync("crm"), str)
        assert_type(rudderstack.start_sync("crm", "full"), str)
        assert_type(rudderstack.stop_sync("crm"), None)
        assert_type(rudderstack.get_sync("crm", "s1"), Sync)
        assert_type(
            rudderstack.list_syncs(
                "crm",
                status="failed",
                started_after=moment,
                started_before=moment,
                limit=5,
            ),
            list[Sync],
        )
        assert_type(rudderstack.poll_sync("crm", "s1", show_progress=None), SyncReport)
        assert_type(rudderstack.sync_and_poll("crm"), SyncReport)
        assert_type(
            rudderstack.sync_and_poll(
                "crm",
                "incremental",
                on_running_sync="attach",
                timeout_seconds=60,
                show_progress=True,
            ),
            SyncReport,
        )
        assert_type(rudderstack.get_connection("crm"), Connection)
        assert_type(rudderstack.list_connections(source_id="s"), list[Connection])
        assert_type(rudderstack.request("GET", "/x"), Any)
        query = {"page": 1, "status": None, "ids": ["a", "b"], "all": True, "share": 0.5}
        assert_type(rudderstack.request("POST", "/x", params=query, json={"a": [1]}), Any)
        rudderstack.request("GET", "/x", params={"at": moment})  # type: ignore[dict-item]
    assert_type(resource.close(), None)


class MyResource(RudderStackResource):
    """A subclass keeps its type in `with`."""


with MyResource(access_token="token") as mine:
    assert_type(mine, MyResource)


def in_an_asset(context: dg.AssetExecutionContext) -> None:
    assert_type(resource.sync_and_poll("crm", context=context), SyncReport)


def in_an_op(context: dg.OpExecutionContext) -> None:
    assert_type(resource.sync_and_poll("crm", context=context), SyncReport)


def check_report(report: SyncReport) -> None:
    assert_type(report.id, str)
    assert_type(report.status, str)
    assert_type(report.state, SyncState)
    assert_type(report.is_over, bool)
    assert_type(report.started_at, datetime | None)
    assert_type(report.finished_at, datetime | None)
    assert_type(report.duration_seconds, float | None)
    assert_type(report.error, str | None)
    assert_type(report.metrics, SyncMetrics | None)
    assert_type(report.rows_total, int | None)
    assert_type(report.rows_changed, int | None)
    assert_type(report.rows_succeeded, int | None)
    assert_type(report.rows_failed, int | None)
    assert_type(report.success_ratio, float | None)
    assert_type(report.failed_rows_sql, str | None)
    assert_type(report.failed_rows_note, str | None)
    assert_type(report.connection_id, str)
    assert_type(NoRowsCheck().result(dg.AssetKey("crm"), report), dg.AssetCheckResult)


def check_errors() -> None:
    try:
        resource.get_sync("crm", "s1")
    except TransportError as error:
        assert_type(error.request_sent, bool)
    except StatusError as error:
        assert_type(error.status_code, int)
        assert_type(error.detail, str)
        assert_type(error.retry_after_seconds, float | None)
    except ApiError as error:
        assert_type(error.method, str)
        assert_type(error.path, str)
    except SyncError as error:
        assert_type(error.connection_id, str)
        assert_type(error.sync, Sync | None)
        assert_type(error.failed_rows_sql, str | None)
    except RudderStackError as error:
        assert_type(error.message, str)
        assert_type(error.retryable, bool)


assert_type(build_rudderstack_sync_asset(connection_id="crm"), dg.AssetsDefinition)
build_rudderstack_sync_asset(connection_id="crm", spec="crm", deps=["customers"], sync_type="full")
build_rudderstack_sync_asset(connection_id="crm", spec=dg.AssetKey(["a", "b"]))
build_rudderstack_sync_asset(connection_id="crm", spec=dg.AssetSpec("crm", group_name="g"))
build_rudderstack_sync_asset(
    connection_id="crm",
    checks=SyncChecks(
        rejected_rows=RejectedRowsCheck(max_failed_rows=5, severity="ERROR", blocking=True)
    ),
    retry_policy=dg.RetryPolicy(max_retries=2),
    on_running_sync="attach",
    on_disabled="skip",
)
build_rudderstack_sync_asset("crm")  # type: ignore[call-arg]
assert_type(build_rudderstack_sync_op(connection_id="crm", name="sync_crm"), dg.OpDefinition)
CHECKS = SyncChecks(
    rejected_rows=RejectedRowsCheck(max_failed_rows=5, max_failed_ratio=0.1, name="bounced"),
    no_rows=NoRowsCheck(severity="ERROR", blocking=True),
    nothing_changed=NothingChangedCheck(severity=dg.AssetCheckSeverity.ERROR),
    duration=DurationCheck(max_seconds=3600),
)
SyncChecks(rejected_rows=None, no_rows=None, nothing_changed=None, duration=None)
SyncChecks(no_rows=DurationCheck(max_seconds=60))  # type: ignore[arg-type]
SyncChecks(RejectedRowsCheck())  # type: ignore[call-arg]
DurationCheck()  # type: ignore[call-arg]
assert_type(NoRowsCheck().spec(dg.AssetKey("crm")), dg.AssetCheckSpec)
build_rudderstack_sync_asset(connection_id="crm", checks=CHECKS)
build_rudderstack_sync_asset(connection_id="crm", checks=None)
build_rudderstack_sync_asset(connection_id="crm", checks=NoRowsCheck())  # type: ignore[arg-type]
assert_type(rudderstack_sync_op, dg.OpDefinition)
SYNC_ID: str = MetadataKey.SYNC_ID
assert_type(RudderStackMetadataSet.extract({}), RudderStackMetadataSet)
assert_type(RudderStackMetadataSet().rows_failed, int | None)
assert_type(RudderStackMetadataSet().finished_at, datetime | None)
assert_type(latest_failed_rows_sql(dg.DagsterInstance.ephemeral(), dg.AssetKey("crm")), str | None)


def check_job() -> Any:
    @dg.job(resource_defs={"rudderstack": resource})
    def activate() -> None:
        rudderstack_sync_op()

    return activate
