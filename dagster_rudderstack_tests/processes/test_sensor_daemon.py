"""The polling sensor in the real daemon, which stores its events and launches its runs."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dagster_rudderstack import MetadataKey
from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.processes.harness import Home, dagster_command, end_group, wait_for
from dagster_rudderstack_tests.sensor.world import sync_ids

PROJECT = "dagster_rudderstack_tests.sensor.project"

pytestmark = pytest.mark.processes


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """An instance with a daemon, and a server whose syncs take 1 second."""
    with LocalRudderStack() as server:
        for name in ("elsewhere", "later"):
            server.add_connection(name, script=SyncScript(duration_seconds=1, rows_total=5))
        made = Home(tmp_path, server)
        daemon = made.start(dagster_command("dagster-daemon", "run", "-m", PROJECT), "daemon")
        try:
            yield made
        finally:
            end_group(daemon)
            made.close()


def materialize(home: Home) -> None:
    """Materialize the deferred asset with the `dagster` command."""
    command = dagster_command("dagster", "asset", "materialize", "-m", PROJECT)
    process = home.start([*command, "--select", "deferred"], "materialize")
    assert process.wait(120) == 0, home.printed("materialize")


def test_sensor__in_the_daemon(home: Home) -> None:
    """Syncs of others and deferred syncs are materialized. A failed deferred sync fails a run."""
    server, instance = home.server, home.instance
    wait_for(lambda: {"elsewhere", "later"} <= {r.connection_id for r in server.requests}, "a tick")

    elsewhere = server.start_sync("elsewhere", origin="schedule")
    materialize(home)
    wait_for(lambda: sync_ids(instance, "watched"), "the sync from elsewhere")
    wait_for(lambda: sync_ids(instance, "deferred"), "the deferred sync")
    deferred = server.syncs("later")[0].id
    server.script_next("later", SyncScript(status="failed", error="no such table"))
    materialize(home)
    failed = wait_for(
        lambda: instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])),
        "the run that reports the failure",
    )

    assert sync_ids(instance, "watched") == [elsewhere]
    assert sync_ids(instance, "deferred") == [deferred]
    assert len(server.starts("later")) == 2
    run = home.run(failed[0].run_id)
    data = run.failures[0].step_failure_data.user_failure_data
    assert data is not None
    assert "no such table" in (data.description or "")
    assert data.metadata[MetadataKey.SYNC_ID].value == server.syncs("later")[1].id
    assert failed[0].tags["dagster/sensor_name"] == "rudderstack_polling_sensor"
    (newest,) = instance.fetch_observations(dg.AssetKey("deferred"), limit=1).records
    assert newest.asset_observation is not None
    assert newest.asset_observation.metadata[MetadataKey.STATUS].value == "failed"
