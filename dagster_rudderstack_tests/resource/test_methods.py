"""The methods of the resource outside Dagster."""

from datetime import datetime, timedelta, timezone

import pytest

from dagster_rudderstack import (
    Connection,
    RudderStackResource,
    Sync,
    SyncReport,
)
from dagster_rudderstack.errors import (
    ConflictError,
    ConnectionDisabledError,
    NotFoundError,
    SyncFailedError,
)
from dagster_rudderstack.testing import LocalRudderStack, SyncScript


def test_methods(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """The methods return typed syncs and connections."""
    server.set_script("crm", SyncScript(never_ends=True))
    with resource as rudderstack:
        sync_id = rudderstack.start_sync("crm", "full")
        running = rudderstack.get_sync("crm", sync_id)
        with pytest.raises(ConflictError):
            rudderstack.start_sync("crm")
        rudderstack.stop_sync("crm")
        stopped = rudderstack.list_syncs("crm", status="failed", limit=1)
        connection = rudderstack.get_connection("crm")
        connections = rudderstack.list_connections(destination_id=connection.destination_id)

    assert isinstance(running, Sync)
    assert running.id == sync_id
    assert not running.is_over
    assert [sync.id for sync in stopped] == [sync_id]
    assert isinstance(connection, Connection)
    assert connections == [connection]
    assert server.syncs("crm")[0].sync_type == "full"


def test_list_syncs__filters(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """Times with any UTC offset filter the list."""
    sync_id = server.start_sync("crm")
    now = datetime.now(timezone(timedelta(hours=9)))
    with resource as rudderstack:
        before = rudderstack.list_syncs("crm", started_before=now - timedelta(minutes=5))
        after = rudderstack.list_syncs("crm", started_after=now - timedelta(minutes=5))

    assert before == []
    assert [sync.id for sync in after] == [sync_id]


def test_sync_and_poll(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """Outside Dagster, it starts a sync, waits for the end and returns the report."""
    with resource as rudderstack:
        report = rudderstack.sync_and_poll(" crm ", "full")

    assert isinstance(report, SyncReport)
    assert report.id == server.syncs("crm")[0].id
    assert (report.connection_id, report.sync_type, report.origin) == ("crm", "full", "started")
    assert (report.rows_total, report.rows_succeeded, report.rows_failed) == (5, 4, 1)


def test_sync_and_poll__fails(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """Outside Dagster, a failed sync is an error that has the sync."""
    server.set_script("crm", SyncScript(status="failed", error="relation does not exist"))
    with resource as rudderstack, pytest.raises(SyncFailedError, match="does not exist") as caught:
        rudderstack.sync_and_poll("crm")

    assert caught.value.sync is not None
    assert caught.value.sync.id == server.syncs("crm")[0].id


def test_sync_and_poll__disabled(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """A disabled connection is an error, and no sync is started."""
    server.update_connection("crm", enabled=False)
    with resource as rudderstack, pytest.raises(ConnectionDisabledError):
        rudderstack.sync_and_poll("crm")

    assert server.starts("crm") == []


def test_poll_sync(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """It waits for the sync of another client and reports it as attached."""
    server.set_script("crm", SyncScript(duration_seconds=0.2, rows_total=3))
    sync_id = server.start_sync("crm")
    with resource as rudderstack:
        report = rudderstack.poll_sync("crm", sync_id)
        with pytest.raises(NotFoundError):
            rudderstack.poll_sync("crm", "nosuchsync")

    assert (report.id, report.origin, report.rows_total) == (sync_id, "attached", 3)
    assert server.starts("crm") == []
