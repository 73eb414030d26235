"""A person cancels a run while its sync runs: it is stopped, and the run ends as canceled."""

import signal
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from dagster_rudderstack.testing import Fault, LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.processes.harness import (
    ASSET_JOB,
    Deployment,
    Run,
    executor,
    process_of,
    signal_process,
    wait_for,
)
from dagster_rudderstack_tests.processes.project import POLL_SECONDS

pytestmark = pytest.mark.processes

HOUR = SyncScript(duration_seconds=3600, rows_total=10)

OP_CONFIG = {"ops": {"rudderstack_sync_op": {"config": {"connection_id": "crm"}}}}


def assert_canceled(run: Run) -> None:
    """The run and its processes are over, and nothing was retried or materialized."""
    assert run.ended() == "CANCELED", run.page
    run.exited()
    assert run.status == "CANCELED", run.page
    assert run.step_starts == 1, run.page
    assert run.materializations == []


@dataclass(frozen=True)
class Case:
    """What is run, and how."""

    executor: str
    asset: str | None = None
    job: str = ASSET_JOB
    config: dict[str, Any] = field(default_factory=dict)

    def launch(self, dagster: Deployment) -> Run:
        """Launch the run."""
        assets = [self.asset] if self.asset else []
        config = {**executor(self.executor), **self.config}
        return dagster.launch(*assets, job=self.job, config=config)


@pytest.mark.parametrize(
    "case",
    [
        Case("in_process", "crm"),
        Case("multiprocess", "crm"),
        Case("in_process", "crm_retry"),
        Case("multiprocess", "crm_retry"),
        Case("in_process", job="retrying_job"),
        Case("multiprocess", job="sync_job", config=OP_CONFIG),
    ],
    ids=lambda case: f"{case.executor}-{case.asset or case.job}",
)
def test_cancel(dagster: Deployment, server: LocalRudderStack, case: Case) -> None:
    """Asset or op, with or without a RetryPolicy: one start, one stop, at once, and no retry."""
    connection = case.asset or "crm"
    server.add_connection(connection, script=HOUR)
    run = case.launch(dagster)
    run.told("Started sync")

    asked_at = time.time()
    dagster.terminate(run)
    assert_canceled(run)

    assert len(server.starts()) == 1
    assert len(server.stops()) == 1
    [sync] = server.syncs()
    asked = f"Sync {sync.id} of connection {connection}: RudderStack was asked to stop it"
    assert run.says(f"Interrupted. {asked}")
    assert f"The run was canceled. {asked}" in run.reason
    # A wait that could not be interrupted would take until the next look at the sync.
    assert run.step_ended_at - asked_at < POLL_SECONDS / 3


def test_cancel__several_connections(dagster: Deployment, server: LocalRudderStack) -> None:
    """Each sync of the run is stopped, each once."""
    names = ("crm", "ads", "mail")
    for name in names:
        server.add_connection(name, script=HOUR)
    run = dagster.launch(*names, config=executor("multiprocess", max_concurrent=3))
    for name in names:
        run.started(name)

    dagster.terminate(run)
    assert run.ended() == "CANCELED", run.page

    assert [len(server.starts(name)) for name in names] == [1, 1, 1]
    assert [len(server.stops(name)) for name in names] == [1, 1, 1]


def test_cancel__in_a_shell(dagster: Deployment, server: LocalRudderStack) -> None:
    """Dagster's command line cancels no run, but its GraphQL command does what the UI does."""
    server.add_connection("crm", script=HOUR)
    run = dagster.launch("crm")
    run.told("Started sync")

    dagster.terminate_in_a_shell(run)
    assert_canceled(run)

    assert len(server.starts()) == len(server.stops()) == 1


def test_cancel__never_stop(dagster: Deployment, server: LocalRudderStack) -> None:
    """`stop_on_termination="never"` leaves the sync, and says so."""
    server.add_connection("crm_never", script=HOUR)
    run = dagster.launch("crm_never")
    run.told("Started sync")

    dagster.terminate(run)
    assert_canceled(run)

    [sync] = server.syncs()
    assert sync.running
    assert server.stops() == []
    assert run.says(f"Sync {sync.id} of connection crm_never is left running")


@pytest.mark.parametrize(
    ("executor_name", "asset"), [("in_process", "crm_retry"), ("multiprocess", "crm")]
)
def test_cancel__by_force(
    dagster: Deployment, server: LocalRudderStack, executor_name: str, asset: str
) -> None:
    """A run that is marked as canceled at once still stops its sync when its process ends."""
    server.add_connection(asset, script=HOUR)
    run = dagster.launch(asset, config=executor(executor_name))
    run.told("Started sync")

    dagster.terminate(run, force=True)
    assert_canceled(run)

    assert len(server.starts()) == 1
    assert len(server.stops()) == 1


def test_cancel__attached(dagster: Deployment, server: LocalRudderStack) -> None:
    """A sync that somebody else has started is not stopped by who only waits for it."""
    server.add_connection("crm_attach", script=HOUR)
    foreign = server.start_sync("crm_attach", "dashboard")
    run = dagster.launch("crm_attach")
    run.told(f"Attached to sync {foreign} of connection crm_attach")

    dagster.terminate(run)
    assert_canceled(run)

    assert server.stops() == []
    assert run.says(f"Sync {foreign} of connection crm_attach: it was left running, since another")


def test_cancel__waiting_for_another(dagster: Deployment, server: LocalRudderStack) -> None:
    """While we wait for somebody else's sync to end, there is nothing of ours to stop."""
    server.add_connection("crm_retry", script=HOUR)
    foreign = server.start_sync("crm_retry", "schedule")
    run = dagster.launch("crm_retry")
    run.told(f"Sync {foreign} of connection crm_retry is already running")

    dagster.terminate(run)
    assert_canceled(run)

    assert server.starts() == server.stops() == []
    assert run.says("There was no sync to stop")


def test_cancel__while_the_start_is_answered(dagster: Deployment, server: LocalRudderStack) -> None:
    """A sync whose id we were never told is found and stopped."""
    server.add_connection("crm", script=HOUR)
    server.add_fault(Fault("slow", operation="start", seconds=50, effect=True))
    run = dagster.launch("crm")
    process_of(server, "crm")

    dagster.terminate(run)
    assert_canceled(run)

    [sync] = server.syncs()
    assert [stop.affected for stop in server.stops()] == [(sync.id,)]
    assert run.says(f"Sync {sync.id} of connection crm: RudderStack was asked to stop it")


def test_cancel__signals_during_the_stop(dagster: Deployment, server: LocalRudderStack) -> None:
    """Further signals do not cut off the stop, nor make it two."""
    server.add_connection("crm_retry", script=HOUR)
    server.add_fault(Fault("slow", operation="stop", seconds=3, effect=True))
    run = dagster.launch("crm_retry")
    worker = process_of(server, "crm_retry")
    run.told("Started sync")

    dagster.terminate(run)
    wait_for(server.stops, "the stop")
    for what in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        signal_process(worker, what)
        time.sleep(0.2)  # or the system makes one signal of two
    dagster.terminate(run, force=True)
    assert_canceled(run)

    assert len(server.starts()) == 1
    assert len(server.stops()) == 1
    assert run.says("RudderStack was asked to stop it")


def test_cancel__resumed_in_an_outage(dagster: Deployment, server: LocalRudderStack) -> None:
    """A retry that has not yet seen the sync of the attempt before stops it all the same."""
    server.add_connection("crm", script=HOUR)
    first = dagster.launch("crm")
    worker = process_of(server, "crm")
    first.told("Started sync")
    signal_process(worker, signal.SIGKILL)
    assert first.ended() == "FAILURE", first.page
    server.add_fault(Fault("status", operation="get_sync", until_seconds=600))
    second = dagster.reexecute(first)
    second.told("Trying again in")

    server.clear_faults()
    dagster.terminate(second)
    assert_canceled(second)

    [sync] = server.syncs()
    assert [stop.affected for stop in server.stops()] == [(sync.id,)]


def test_cancel__and_run_again(
    dagster: Deployment, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A sync that is being stopped is not taken up: a new one starts when it has ended."""
    server.add_connection("crm_quick", script=HOUR, stop_delay_seconds=60)
    first = dagster.launch("crm_quick")
    first.told("Started sync")
    dagster.terminate(first)
    assert_canceled(first)

    second = dagster.reexecute(first)
    second.told("is already running")
    clock.advance(60)
    second.told("Started sync")
    clock.advance(3600)
    assert second.ended() == "SUCCESS", second.page

    stopped, ours = server.syncs()
    assert stopped.status == "failed"
    assert ours.started_at >= (stopped.finished_at or 0.0)
    assert second.origins == {"crm_quick": "started"}
