"""Runs of a Profiles project across processes: one of a dead worker is resumed, none is stopped."""

import signal

import pytest

from dagster_rudderstack.testing import LocalRudderStack, ManualClock, RunScript
from dagster_rudderstack_tests.processes.harness import (
    Deployment,
    Run,
    executor,
    signal_process,
    wait_for,
)
from dagster_rudderstack_tests.processes.project import PROCESS_HEADER

pytestmark = pytest.mark.processes

SOURCE = "features"
ASSETS = ("user_features", "user_id_graph")
HOUR = RunScript(duration_seconds=3600)


def process_of_run(server: LocalRudderStack) -> int:
    """Wait for a start of a run, and return the id of the process that sent it."""
    starts = wait_for(
        lambda: [each for each in server.requests if each.operation == "start_run"],
        "a start of a run",
    )
    return int(starts[-1].headers[PROCESS_HEADER])


def run_ids(run: Run) -> dict[str, object]:
    """The run in RudderStack that each materialized asset reports."""
    return {
        each.asset_key.to_user_string(): each.metadata["rudderstack/run_id"].value
        for each in run.materializations
    }


def test_worker_killed(dagster: Deployment, server: LocalRudderStack, clock: ManualClock) -> None:
    """The daemon's retry of the Dagster run resumes the same run id, and reports both assets."""
    server.add_project(SOURCE, HOUR)
    run = dagster.launch(*ASSETS, tags={"dagster/max_retries": "1"})
    run.wait_for_log("Started run")

    signal_process(process_of_run(server), signal.SIGKILL)
    assert run.wait_for_end() == "FAILURE", run.log
    retry = dagster.home.retry_of(run)
    retry.wait_for_log("Resumed run")
    clock.advance(3600)
    assert retry.wait_for_end() == "SUCCESS", retry.log

    [started] = server.runs(SOURCE)
    assert run_ids(retry) == dict.fromkeys(ASSETS, started.id)
    assert set(retry.origins.values()) == {"resumed"}


@pytest.mark.parametrize("kind", ["in_process", "multiprocess"])
def test_canceled(
    kind: str, dagster: Deployment, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A canceled Dagster run says that the run goes on in RudderStack, which cannot stop it, and a
    re-execution waits for it."""
    server.add_project(SOURCE, HOUR)
    run = dagster.launch(*ASSETS, config=executor(kind))
    run.wait_for_log("Started run")

    dagster.cancel(run)
    assert run.wait_for_end() == "CANCELED", run.log
    run.wait_for_exit()
    [started] = server.runs(SOURCE)
    assert started.running
    assert run.has_logged(
        f"Run {started.id} of source {SOURCE}: it goes on in RudderStack, which offers no way to "
        "stop a run."
    )
    again = dagster.reexecute(run, "ALL_STEPS")
    again.wait_for_log("Resumed run")
    clock.advance(3600)
    assert again.wait_for_end() == "SUCCESS", again.log

    assert [each.id for each in server.runs(SOURCE)] == [started.id]
    assert run_ids(again) == dict.fromkeys(ASSETS, started.id)
