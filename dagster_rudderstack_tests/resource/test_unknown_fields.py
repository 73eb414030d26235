"""Unknown fields of RudderStack's answers: where users find them, and where they are not."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    RudderStackResource,
    SyncFailedError,
    SyncReport,
    WorkspaceSnapshot,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_op,
    fetch_rudderstack_workspace,
    refresh_rudderstack_snapshot,
)
from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.api.test_unknown_fields import HOSTILE, OF_A_REPORT

BATCHES = [{"id": 1, "rows": 3}]


def test_report(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """The report of a sync has the unknown fields of its last answer."""
    server.set_script("crm", SyncScript(rows_total=3, wire_fields={"batches": BATCHES}))
    with resource as rudderstack:
        report = rudderstack.sync_and_poll("crm")
        polled = rudderstack.poll_sync("crm", report.id)

    assert report.model_extra == polled.model_extra == {"batches": BATCHES}
    assert (report.origin, polled.origin) == ("started", "attached")


@pytest.mark.parametrize("fields", [HOSTILE, OF_A_REPORT, {**HOSTILE, **OF_A_REPORT}])
def test_report__hostile_names(
    fields: dict[str, Any], server: LocalRudderStack, resource: RudderStackResource
) -> None:
    """No unknown field changes the facts of a sync."""
    server.set_script("crm", SyncScript(rows_total=5, rows_failed=1, wire_fields=fields))
    with resource as rudderstack:
        report = rudderstack.sync_and_poll("crm", "full")

    assert type(report) is SyncReport
    assert (report.id, report.connection_id) == (server.syncs("crm")[0].id, "crm")
    assert (report.sync_type, report.origin, report.rows_failed) == ("full", "started", 1)
    assert "hush-hush" not in f"{report!r} {report.failed_rows_sql} {report.failed_rows_note}"
    assert report.failed_rows_sql
    assert report.model_extra == {name: "hush-hush" for name in fields if name in HOSTILE}


def test_error(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """The sync of an error has the unknown fields, and its message does not show them."""
    script = SyncScript(status="failed", error="no table", wire_fields={"x": "hush-hush"})
    server.set_script("crm", script)
    with resource as rudderstack, pytest.raises(SyncFailedError) as caught:
        rudderstack.sync_and_poll("crm")

    assert caught.value.sync
    assert caught.value.sync.model_extra == {"x": "hush-hush"}
    assert "hush-hush" not in f"{caught.value} {caught.value!r} {vars(caught.value)}"


def test_lists(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """Single objects and lists have the unknown fields."""
    server.set_script("crm", SyncScript(wire_fields={"batches": BATCHES}))
    sync_id = server.start_sync("crm")
    server.update_connection("crm", wire_fields={"owner": "me"})
    with resource as rudderstack:
        syncs = [rudderstack.get_sync("crm", sync_id), *rudderstack.list_syncs("crm")]
        connections = [rudderstack.get_connection("crm"), *rudderstack.list_connections()]

    assert [sync.model_extra for sync in syncs] == [{"batches": BATCHES}] * 2
    assert [(each.model_extra or {})["owner"] for each in connections] == ["me"] * 2


def test_in_dagster(
    server: LocalRudderStack, resource: RudderStackResource, tmp_path: Path
) -> None:
    """An op passes the unknown fields on. No event and no log line has them."""
    fields = {**HOSTILE, **OF_A_REPORT}
    server.set_script("crm", SyncScript(rows_total=5, wire_fields=fields))
    sync_op = build_rudderstack_sync_op(connection_id="crm", name="sync_crm")
    found: list[Any] = []

    @dg.op
    def read(report: SyncReport) -> None:
        found.append(report.model_extra)

    @dg.job(executor_def=dg.in_process_executor)
    def activate() -> None:
        read(sync_op())

    with dg.DagsterInstance.ephemeral() as instance:
        resources = {
            "rudderstack": resource,
            "io_manager": dg.FilesystemIOManager(base_dir=str(tmp_path)),
        }
        job = activate.execute_in_process(instance=instance, resources=resources)
        asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm")
        assets = dg.materialize([asset], instance=instance, resources=resources)
        shown = "".join(
            dg.serialize_value(entry)
            for result in (job, assets)
            for entry in instance.all_logs(result.run_id)
        )

    assert job.success
    assert assets.success
    assert found == [HOSTILE]
    assert "hush-hush" not in shown


def test_snapshot(server: LocalRudderStack, resource: RudderStackResource, tmp_path: Path) -> None:
    """A snapshot of the workspace has no unknown field, and a refreshed one is equal."""
    unknown: dict[str, Any] = {"x": {"apiKey": "hush-hush"}, "dagsterKey": "hush-hush"}
    server.add_source("s", name="People", config={"table": "people"}, **unknown)
    server.add_destination("d", type="HS", transformation={"code": "hush-hush"}, **unknown)
    server.add_connection(
        *("ads", "s", "d"),
        schedule={"type": "manual", **unknown},
        mappings=[{"from": "a", "to": "b", **unknown}],
        syncSettings={"syncLogsConfig": {"enabled": False, **unknown}, **unknown},
        destinationConfig=unknown,
        **unknown,
    )
    path = tmp_path / "rudderstack.json"
    with resource as rudderstack:
        listed = [each for each in rudderstack.list_connections() if each.id == "ads"]
    fetched = fetch_rudderstack_workspace(resource)
    refreshed = refresh_rudderstack_snapshot(resource, path)
    by_hand = WorkspaceSnapshot(fetched_at=fetched.fetched_at, connections=tuple(listed))

    assert (listed[0].model_extra or {})["x"] == {"apiKey": "hush-hush"}
    for text in (path.read_text(), fetched.dumps(), refreshed.dumps(), by_hand.dumps()):
        assert "hush-hush" not in text
        assert "dagsterKey" not in text
    (ads,) = (each for each in fetched.connections if each.id == "ads")
    assert ads.model_extra == {}
    assert not ads.sync_logs.enabled
    assert json.loads(path.read_text())["connections"] == json.loads(fetched.dumps())["connections"]
