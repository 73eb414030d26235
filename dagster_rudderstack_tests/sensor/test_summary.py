"""What the page of a sensor says: what it covers, and what each tick has reported."""

from dataclasses import replace

import dagster as dg
import pytest

from dagster_rudderstack import (
    InvalidSettingError,
    RudderStackResource,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
)
from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.sensor.detect import Finding, RecordedSync
from dagster_rudderstack.sensor.summary import report_text
from dagster_rudderstack.sensor.watch import Watch
from dagster_rudderstack.testing import LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.sensor.world import FAILING, World, connect, world

CRM = Watch("crm", dg.AssetKey("crm_contacts"))
LATE = Finding("crm", Sync(id="s", status="running"), RecordedSync(deferred=True), overdue=True)
STOPPED = Finding("crm", Sync(id="s", status="failed"), RecordedSync(timed_out=True))


def ended(status: str, **facts: object) -> Finding:
    """Return a sync that is over, with an end in the same year."""
    sync = {"id": "s", "status": status, "finishedAt": "2026-03-01T00:00:00Z", **facts}
    return Finding("crm", Sync.model_validate(sync))


def good(succeeded: int | None = None, failed: int | None = None) -> Finding:
    rows = {"succeeded": {"total": succeeded}, "failed": {"total": failed}}
    return ended("succeeded", metrics=rows)


@pytest.mark.parametrize(
    ("finding", "text"),
    [
        (good(2021), "succeeded (2,021 rows)"),
        (good(1, 0), "succeeded (1 row)"),
        (good(1398, 2), "succeeded (1,398 rows, 2 rejected)"),
        (good(), "succeeded"),
        (ended("failed", error="no such table"), "failed (no such table)"),
        (ended("failed"), "failed"),
        (ended("aborted"), "was stopped"),
        (ended("paused"), "ended with the unknown status 'paused'"),
        (STOPPED, "was stopped after its timeout"),
        (LATE, "exceeded its timeout"),
    ],
)
def test_report(finding: Finding, text: str) -> None:
    """A report says how the sync has ended, and with how many rows."""
    assert report_text([(finding, CRM)]) == f"Reported 1 sync: crm_contacts {text}."


def test_report__nothing() -> None:
    """A tick without a report says so."""
    assert report_text([]) == "There was no sync to report."


def test_report__many_syncs() -> None:
    """Failed syncs come first. Of many syncs, the first three are named."""
    many = [(good(), replace(CRM, key=dg.AssetKey(f"a{number}"))) for number in range(9)]

    text = report_text([*many, (ended("failed"), CRM)])

    assert text == (
        "Reported 10 syncs: crm_contacts failed, a0 succeeded, a1 succeeded and 7 others."
    )


def test_tick__reports(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
) -> None:
    """A tick says what it has reported. Dagster shows this beside a tick without a run."""
    connect(server, "a", script=SyncScript(duration_seconds=60, rows_total=2021))
    connect(server, "b", script=FAILING)
    assets = [build_rudderstack_sync_asset(connection_id=name, spec=name) for name in ("a", "b")]
    scene = world(instance, rudderstack, *assets)
    texts = [skip_reason(scene)]
    for name in ("a", "b"):
        server.start_sync(name)
    clock.advance(60)
    texts.append(skip_reason(scene))

    assert texts[0].startswith("There was no sync to report. Polled 2 of 2 connections in ")
    assert texts[1].startswith(
        "Reported 2 syncs: b failed (no such table) and a succeeded (2,021 rows). Polled 2 of 2 "
    )


def skip_reason(scene: World) -> str:
    """Tick once, and return the reason for which Dagster shows the tick as skipped."""
    reason = scene.tick().skip_reason
    assert reason is not None
    return reason.skip_message or ""


def test_tick__requests_a_run(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    clock: ManualClock,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Dagster takes no reason for a tick that requests a run. The tick's log has the report."""
    connect(server, "a", script=FAILING)
    asset = build_rudderstack_sync_asset(connection_id="a", spec="a", wait=False)
    scene = world(instance, rudderstack, asset)
    scene.run()
    clock.advance(60)

    result = scene.tick()

    assert len(result.run_requests or ()) == 1
    assert result.skip_reason is None
    assert "Reported 1 sync: a failed (no such table)." in capfd.readouterr().err


# --- the definition of the sensor


def assets_of(*names: str, **options: object) -> list[dg.AssetsDefinition]:
    return [
        build_rudderstack_sync_asset(connection_id=name, spec=name, **options)  # type: ignore[arg-type]
        for name in names
    ]


def test_description__assets_and_workspace() -> None:
    """The description names the assets, the resource of the workspace, and the deferred assets."""
    sensor = build_rudderstack_polling_sensor(
        assets=[*assets_of("_a_", "b", "c", "d", "e"), *assets_of("late", wait=False)],
        resource_key="marketing",
    )

    assert sensor.description == (
        "Reports the syncs of _a_, b, c and 3 others that no step waits for, in the "
        "RudderStack workspace of the resource marketing. The step of late only starts syncs "
        "(wait=False)."
    )


def test_description__of_the_user() -> None:
    """A description of the user's own stays as it is."""
    sensor = build_rudderstack_polling_sensor(assets=assets_of("a"), description="Ours.")

    assert sensor.description == "Ours."


def test_sensor__partitions_of_two_kinds() -> None:
    """Deferred assets with different partitions need a sensor each, since Dagster would not load
    the code location."""
    days, regions = (dg.StaticPartitionsDefinition(each) for each in (["mon"], ["eu", "us"]))
    by_day = assets_of("a", wait=False, partitions_def=days)
    plain = assets_of("b", wait=False)
    by_region = assets_of("c", wait=False, partitions_def=regions)

    with pytest.raises(InvalidSettingError, match="Assets 'a' and 'c' have different partitions"):
        build_rudderstack_polling_sensor(assets=[*by_day, *plain, *by_region])
    build_rudderstack_polling_sensor(assets=[*by_day, *plain])
