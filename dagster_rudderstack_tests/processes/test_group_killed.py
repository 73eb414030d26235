"""A re-execution resumes all syncs of a step whose process was killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackMetadataSet
from dagster_rudderstack.testing import LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.processes.group_project import NAMES, activation
from dagster_rudderstack_tests.processes.harness import wait_for
from dagster_rudderstack_tests.step.world import count, record_kinds

pytestmark = pytest.mark.processes

PROJECT = "dagster_rudderstack_tests.processes.group_project"


def test_group_killed__reexecution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No sync is started twice, and the re-execution reports all of them, also the one that the
    killed run reported."""
    clock = ManualClock()
    with LocalRudderStack(clock=clock) as server:
        for name in NAMES:
            server.add_connection(name, script=SyncScript(duration_seconds=100))
        server.set_script("c0", SyncScript(duration_seconds=10))
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
        monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
        monkeypatch.setenv("RUDDERSTACK_API_URL", server.url)
        with dg.DagsterInstance.get() as instance:
            _kill_a_run_after_the_first_materialization(server, clock, instance)
            (run,) = instance.get_runs()
            # The run monitoring of the daemon does this after the loss of a worker.
            instance.report_run_failed(run)
            clock.advance(90)
            options = dg.ReexecutionOptions(parent_run_id=run.run_id)
            with dg.execute_job(
                dg.reconstructable(activation), instance=instance, reexecution_options=options
            ) as result:
                pass
        starts = sorted(request.connection_id or "" for request in server.starts())

    assert result.success
    assert starts == NAMES
    origins = {
        event.materialization.asset_key.to_user_string(): RudderStackMetadataSet.extract(
            event.materialization.metadata
        ).origin
        for event in result.get_asset_materialization_events()
    }
    assert origins == {"c0": "started", **dict.fromkeys(NAMES[1:], "resumed")}


def _kill_a_run_after_the_first_materialization(
    server: LocalRudderStack, clock: ManualClock, instance: dg.DagsterInstance
) -> None:
    with subprocess.Popen([sys.executable, "-m", PROJECT], start_new_session=True) as process:
        try:
            wait_for(lambda: len(server.starts()) == len(NAMES), "all starts")
            clock.advance(10)
            wait_for(lambda: count(instance, "c0") == 1, "the first materialization")
            wait_for(lambda: record_kinds(instance).count("waiting") == len(NAMES), "all records")
        finally:
            os.killpg(process.pid, signal.SIGKILL)
