"""The metadata of assets and syncs with types."""

from dataclasses import fields
from datetime import datetime, timezone
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    MetadataKey,
    ProfilesParameters,
    RudderStackMetadataSet,
    RudderStackResource,
    SyncMetrics,
    SyncReport,
    build_rudderstack_sync_asset,
    load_rudderstack_asset_specs,
)
from dagster_rudderstack.metadata import report_metadata
from dagster_rudderstack.metadata_set import report_from_metadata
from dagster_rudderstack.testing import LocalRudderStack, RunScript, SyncScript
from dagster_rudderstack_tests.discovery.conftest import fill

NOT_READ = {
    MetadataKey.RECORD,  # only for this library
    MetadataKey.CONNECTION_IDS,  # of a sensor
    MetadataKey.FAILED_SYNCS,  # of a failure, a table for people
    MetadataKey.ROW_COUNT,  # Dagster's own
    MetadataKey.DETAILS,  # its entries are
}

IN_DETAILS = {
    f"rudderstack/{name}" for name in ("sync_type", "started_at", "origin", "success_ratio")
}


def test_fields() -> None:
    """There is an attribute for each key of the metadata, and no other."""
    keys = {
        value
        for name, value in vars(MetadataKey).items()
        if isinstance(value, str) and not name.startswith("_")
    }

    named = {f"rudderstack/{field.name}" for field in fields(RudderStackMetadataSet)}
    assert named == keys - NOT_READ | IN_DETAILS


def test_extract__definition(local_rudderstack: LocalRudderStack) -> None:
    """The definition of an asset names its connection, its source and its destination."""
    fill(local_rudderstack)
    resource = RudderStackResource(
        access_token=local_rudderstack.access_token, api_url=local_rudderstack.url
    )

    found = [
        RudderStackMetadataSet.extract(spec.metadata)
        for spec in load_rudderstack_asset_specs(resource)
    ]

    assert {each.connection_id for each in found} >= {"contacts", "audience"}
    (contacts,) = (each for each in found if each.connection_id == "contacts")
    assert (contacts.source_name, contacts.destination_name) == ("Customers", "HubSpot")
    assert (contacts.enabled, contacts.object, contacts.rows_failed) == (True, "Contact", None)


def test_extract__materialization(
    local_rudderstack: LocalRudderStack,
) -> None:
    """A materialization has the numbers and the times of its sync."""
    local_rudderstack.add_connection("crm", script=SyncScript(rows_total=10, rows_failed=1))
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm")
    resource = RudderStackResource(
        access_token=local_rudderstack.access_token, api_url=local_rudderstack.url
    )

    result = dg.materialize([asset], resources={"rudderstack": resource})

    (event,) = result.get_asset_materialization_events()
    found = RudderStackMetadataSet.extract(event.materialization.metadata)
    (sync,) = local_rudderstack.syncs("crm")
    assert (found.connection_id, found.sync_id) == ("crm", sync.id)
    assert (found.rows_succeeded, found.rows_failed, found.success_ratio) == (9, 1, 0.9)
    assert found.started_at is not None
    assert found.started_at.tzinfo is timezone.utc
    assert found.started_at.timestamp() == pytest.approx(sync.started_at, abs=0.01)


def test_extract__run(local_rudderstack: LocalRudderStack) -> None:
    """The metadata of a run have its ids, its parameters and its tasks."""
    local_rudderstack.add_project("prj", RunScript(tasks=("models/a",)))
    resource = RudderStackResource(
        access_token=local_rudderstack.access_token, api_url=local_rudderstack.url
    )
    report = resource.run_source_and_poll("prj", ProfilesParameters(["models/a"]))

    found = RudderStackMetadataSet.extract(report_metadata(report))

    assert (found.source_id, found.run_id, found.connection_id) == ("prj", report.id, None)
    assert (found.status, found.parameters) == ("finished", "--model_refs models/a")
    assert found.tasks is not None
    assert [(task["task_id"], task["status"]) for task in found.tasks] == [("models/a", "finished")]
    assert report_from_metadata(report_metadata(report)) is None


@pytest.mark.parametrize(
    ("name", "entry", "expected"),
    [
        ("rows_failed", dg.MetadataValue.int(3), 3),
        ("rows_failed", 3, 3),
        ("rows_failed", dg.MetadataValue.text("3"), None),
        ("rows_failed", dg.MetadataValue.bool(True), None),
        ("rows_failed", dg.MetadataValue.float(3.5), None),
        ("duration_seconds", dg.MetadataValue.int(3), 3.0),
        ("duration_seconds", dg.MetadataValue.null(), None),
        ("enabled", dg.MetadataValue.bool(False), False),
        ("enabled", "false", None),
        ("link", dg.MetadataValue.url("https://a.example/1"), "https://a.example/1"),
        ("source_name", "Customers", "Customers"),
        ("source_name", dg.MetadataValue.int(3), None),
        ("failed_rows_sql", dg.MetadataValue.md("Note.\n\n```sql\nselect 1\n```"), "select 1"),
        ("rows_failed", dg.MetadataValue.md("```sql\nselect 1\n```"), None),
        ("success_ratio", 10**400, None),
        ("failed_rows_sql", dg.MetadataValue.md("The rows cannot be listed."), None),
        (
            "finished_at",
            dg.MetadataValue.timestamp(1_000_000.0),
            datetime.fromtimestamp(1_000_000, timezone.utc),
        ),
        ("finished_at", dg.MetadataValue.float(1e300), None),
        ("finished_at", "yesterday", None),
        ("finished_at", "2026-01-01T00:00:00", None),
        ("checks", dg.MetadataValue.json({"a": 1}), {"a": 1}),
        ("checks", dg.MetadataValue.json([1]), None),
        ("tasks", dg.MetadataValue.json([{"task_id": "a"}]), [{"task_id": "a"}]),
        ("tasks", dg.MetadataValue.json({"a": 1}), None),
        ("tasks", "a", None),
    ],
    ids=str,
)
def test_extract__entry(name: str, entry: object, expected: object) -> None:
    """An entry of the right type becomes a Python value, and another one becomes None."""
    found = RudderStackMetadataSet.extract({f"rudderstack/{name}": entry})

    assert getattr(found, name) == expected


def test_extract__details() -> None:
    """What is in the details is found there, and what older versions wrote as an entry of its own
    is found, too."""
    details = {"sync_type": "full", "started_at": "2026-01-01T00:00:00+00:00", "origin": "adopted"}
    older = {
        "rudderstack/sync_type": dg.MetadataValue.text("full"),
        "rudderstack/started_at": dg.MetadataValue.timestamp(FULL["started_at"]),
        "rudderstack/origin": dg.MetadataValue.text("adopted"),
    }

    found = RudderStackMetadataSet.extract(
        {"rudderstack/details": dg.MetadataValue.json(details), "rudderstack/status": "succeeded"}
    )

    assert found == RudderStackMetadataSet.extract({**older, "rudderstack/status": "succeeded"})
    assert (found.sync_type, found.started_at, found.origin) == (
        "full",
        FULL["started_at"],
        "adopted",
    )


def test_extract__others() -> None:
    """The metadata of others are ignored."""
    others = {"rows_failed": 1, "dagster-fivetran/connection_id": "a", "rudderstack/new": 1}

    assert RudderStackMetadataSet.extract(others) == RudderStackMetadataSet()


def metrics(*, total: int | None = None, **counts: int) -> SyncMetrics:
    wrapped = {name: {"total": count} for name, count in counts.items()}
    return SyncMetrics.model_validate({**wrapped, "total": total})


FULL: dict[str, Any] = {
    "id": "s",
    "status": "succeeded",
    "started_at": datetime(2026, 1, 1, tzinfo=timezone.utc),
    "finished_at": datetime(2026, 1, 1, 1, tzinfo=timezone.utc),
    "error": "Some *rows*.",
    "metrics": metrics(succeeded=9, failed=1, changed=10, total=20),
    "connection_id": "crm",
    "sync_type": "full",
    "origin": "adopted",
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"started_at": None, "finished_at": None, "error": None, "metrics": None},
        {"metrics": metrics(succeeded=0), "sync_type": None, "origin": "attached"},
        {"failed_rows_sql": "select *\n\nfrom `a`", "failed_rows_note": "Run *this* in a_b."},
        {"failed_rows_note": "The rows cannot be listed."},
    ],
    ids=["all", "least", "some", "rejected rows", "only a note"],
)
def test_report_from_metadata(changes: dict[str, Any]) -> None:
    """A report that was read from metadata has the same metadata."""
    metadata = report_metadata(SyncReport(**{**FULL, **changes}))

    report = report_from_metadata(metadata)

    assert report is not None
    assert report_metadata(report) == metadata


def test_report_from_metadata__changed_by_a_person() -> None:
    """Facts that a person has replaced with other words are unknown in the report."""
    changed = {
        "rudderstack/sync_type": "weekly",
        "rudderstack/origin": "me",
        MetadataKey.ROWS_TOTAL: "7",
    }

    report = report_from_metadata({**report_metadata(SyncReport(**FULL)), **changed})

    assert report is not None
    assert (report.sync_type, report.origin, report.rows_total) == (None, "resumed", None)


def test_report_from_metadata__of_no_sync() -> None:
    """There is no report without a sync."""
    assert report_from_metadata({"rudderstack/connection_id": "crm"}) is None
