"""Damaged records in the log of a run."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import MetadataKey, RudderStackResource, build_rudderstack_sync_asset
from dagster_rudderstack.dagster_internals import engine_event_data
from dagster_rudderstack.step.records import RecordKind, SyncRecord
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.step.world import resource_of, run

RECORD = SyncRecord(
    RecordKind.WAITING,
    "crm",
    "contacts",
    sync_id="sync-1",
    sync_type="full",
    known_sync_ids=("sync-0",),
    deadline=1.5,
)


@pytest.mark.parametrize(
    "damage",
    [
        {"known_sync_ids": "abc"},
        {"known_sync_ids": None},
        {"known_sync_ids": [{}]},
        {"kind": []},
        {"connection_id": ["crm"]},
        {"connection_id": None},
        {"connection_id": "../crm"},
        {"step": 1},
        {"sync_id": 7},
        {"sync_id": []},
        {"sync_id": {"a": 1}},
        {"sync_id": "../../sync"},
        {"sync_type": ["full"]},
        {"partition": 1},
        {"owned": "false"},
        {"deadline": "soon"},
        {"deadline": float("inf")},
    ],
    ids=str,
)
def test_record__wrong_type(damage: dict[str, object]) -> None:
    """A record with a value of another type, or with what is no id, is not read."""
    assert SyncRecord.from_data(RECORD.to_data()) == RECORD
    assert SyncRecord.from_data(RECORD.to_data() | damage) is None


@pytest.mark.parametrize(
    "damage",
    [
        {"connection_id": ["crm"]},
        {"sync_id": 7},
        {"sync_type": ["full"]},
        {"kind": "starting", "known_sync_ids": [{}]},
    ],
    ids=str,
)
def test_record__wrong_type_in_a_run(
    server: LocalRudderStack, stored_instance: dg.DagsterInstance, damage: dict[str, object]
) -> None:
    """A step ignores a damaged record of its run, and syncs."""
    server.add_connection("crm")
    record = SyncRecord(RecordKind.WAITING, "crm", "contacts", sync_id="sync-1")
    data = record.to_data() | damage

    def body(
        context: dg.AssetExecutionContext,
        rudderstack: RudderStackResource,
        sync: Callable[[], Iterator[Any]],
    ) -> Iterator[Any]:
        context.instance.report_engine_event(
            "A damaged record.",
            dagster_run=context.run,
            step_key="contacts",
            engine_event_data=engine_event_data({MetadataKey.RECORD: dg.MetadataValue.json(data)}),
        )
        yield from sync()

    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts", execute=body)

    assert run([asset], resource_of(server), stored_instance).success
    assert len(server.starts()) == 1
