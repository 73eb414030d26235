"""Records in the log of a run: what is written, and what is read of a damaged log."""

import dagster as dg
import pytest

from dagster_rudderstack import MetadataKey, build_rudderstack_sync_asset
from dagster_rudderstack.step.records import RecordKind, SyncRecord
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.step.world import records, resource_of, run

FULL = SyncRecord(
    RecordKind.WAITING,
    "crm",
    "activation",
    sync_id="sync-1",
    sync_type="full",
    partition="2026-01-01",
    owned=True,
    known_sync_ids=("sync-0",),
    deadline=1.5,
    retry_number=2,
)


@pytest.mark.parametrize(
    "record", [FULL, SyncRecord(RecordKind.STARTING, "crm", "activation")], ids=["full", "empty"]
)
def test_record__written_and_read(record: SyncRecord) -> None:
    """A record is read as it was written."""
    assert SyncRecord.from_data(record.to_data()) == record


@pytest.mark.parametrize(
    "data",
    [
        None,
        "text",
        [],
        {},
        FULL.to_data() | {"version": 2},
        FULL.to_data() | {"kind": "unheard-of"},
        FULL.to_data() | {"new_field": 1},
        FULL.to_data() | {"known_sync_ids": 5},
        {"version": 1, "kind": "waiting"},
    ],
    ids=str,
)
def test_record__damaged(data: object) -> None:
    """A record that is damaged, or that a newer release wrote, is not read."""
    assert SyncRecord.from_data(data) is None


def test_records__of_a_sync(server: LocalRudderStack, stored_instance: dg.DagsterInstance) -> None:
    """The run page shows a line per record; the data for the next attempt is folded away."""
    server.add_connection("crm")
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm", sync_type="full")
    result = run([asset], resource_of(server), stored_instance)

    (sync,) = server.syncs()
    kinds = [record.kind for record in records(stored_instance)]
    assert kinds == [RecordKind.STARTING, RecordKind.WAITING]
    entries = stored_instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    events = [
        entry.dagster_event
        for entry in entries
        if entry.dagster_event
        and MetadataKey.RECORD in entry.dagster_event.engine_event_data.metadata
    ]
    assert [event.message for event in events] == [
        "Starting a sync of connection crm.",
        f"Started sync {sync.id} of connection crm (full).",
    ]
    for event in events:
        value = event.engine_event_data.metadata[MetadataKey.RECORD]
        # The UI shows JSON behind a button, and text in full.
        assert isinstance(value, dg.JsonMetadataValue)
