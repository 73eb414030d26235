"""The page about the life of a sync: its picture, its numbers and its records."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackResource, build_rudderstack_sync_asset
from dagster_rudderstack.settings import PollPolicy, SyncPolicy
from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.step.world import resource_of

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "concepts" / "life-of-a-sync.md").read_text(encoding="utf-8")
PICTURE = DOCS / "images" / "life-of-a-sync.svg"


def records_of(page: str) -> list[str]:
    """Return the lines of the table of records, each up to its first value."""
    section = page.partition("## Records\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE)
    return [line.partition(" …")[0] for line in lines]


def test_picture() -> None:
    """The page shows the picture, which is well-formed and has the defaults of the settings."""
    texts = [each.text or "" for each in ET.parse(PICTURE).iter()]  # noqa: S314 - ours
    words = " ".join(" ".join(texts).split())
    poll, policy = PollPolicy(), SyncPolicy()

    assert f"]({Path('..') / 'images' / PICTURE.name})" in PAGE
    assert (
        f"Poll every {poll.poll_min_interval_seconds:g} to {poll.poll_max_interval_seconds:g} s."
        in words
    )
    assert f"an outage of {policy.outage_tolerance_seconds / 60:g} minutes" in words
    assert f"within {policy.start_settling_seconds:g} s." in words
    assert policy.sync_timeout_seconds == 24 * 3600
    assert "at the timeout of a day" in words


def test_numbers() -> None:
    """The numbers of the page are the defaults of the settings."""
    poll, policy = PollPolicy(), SyncPolicy()

    assert f"`start_settling_seconds` ({policy.start_settling_seconds:g} s)" in PAGE
    assert f"`outage_tolerance_seconds` ({policy.outage_tolerance_seconds / 60:g} minutes)" in PAGE
    assert (
        f"every {poll.poll_min_interval_seconds:g} to {poll.poll_max_interval_seconds:g} seconds"
        in PAGE
    )


def engine_events(instance: dg.DagsterInstance, run_id: str) -> str:
    """Return the lines of the engine events of a run."""
    logs = instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    return "\n".join(entry.user_message or entry.message for entry in logs)


@pytest.mark.parametrize(
    ("fault", "settings", "records"),
    [
        (None, {}, ["Starting a sync of connection", "Started sync"]),
        (
            Fault("reset", operation="start", effect=True),
            {},
            ["Starting a sync of connection", "Adopted sync"],
        ),
        (
            Fault("status", operation="start", status=403),
            {},
            ["Starting a sync of connection", "No sync of connection"],
        ),
        (
            Fault("scheduled_sync", operation="list_syncs", script=SyncScript(duration_seconds=1)),
            {"on_running_sync": "attach"},
            ["Attached to sync"],
        ),
        (
            None,
            {"sync_timeout_seconds": 1},
            ["Starting a sync of connection", "Started sync", "Asked RudderStack to stop sync"],
        ),
    ],
    ids=["started", "adopted", "refused", "attached", "stopped"],
)
def test_records(
    server: LocalRudderStack,
    instance: dg.DagsterInstance,
    fault: Fault | None,
    settings: dict[str, object],
    records: list[str],
) -> None:
    """The lines of the page are in the event log of the run, and the run writes no others."""
    is_endless = "sync_timeout_seconds" in settings
    server.add_connection("crm", script=SyncScript(never_ends=is_endless, rows_total=3))
    if fault is not None:
        server.add_fault(fault)
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm")
    resource: RudderStackResource = resource_of(server, **settings)

    result = dg.materialize(
        [asset], instance=instance, resources={"rudderstack": resource}, raise_on_error=False
    )

    lines = engine_events(instance, result.run_id)
    assert [record for record in records_of(PAGE) if record in lines] == records


def test_records__resumed() -> None:
    """The page has the line of a resumed sync, which a retry writes."""
    assert "Resumed sync" in records_of(PAGE)
    assert len(records_of(PAGE)) == 7
