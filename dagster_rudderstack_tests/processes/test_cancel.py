"""Canceling a run stops its sync, and the run ends as canceled."""

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
    """Wait for the end of the run and its processes. Nothing was retried or materialized."""
    assert run.wait_for_end() == "CANCELED", run.log
    run.wait_for_exit()
    assert run.status == "CANCELED", run.log
    assert run.step_starts == 1, run.log
    assert run.materializations == []


@dataclass(frozen=True)
class Case:
    """A run to launch: the executor, and an asset or a job."""

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
    """The sync of an asset or an op is stopped once and at once, and nothing is retried."""
    connection = case.asset or "crm"
    server.add_connection(connection, script=HOUR)
    run = case.launch(dagster)
    run.wait_for_log("Started sync")

    asked_at = time.time()
    dagster.cancel(run)
    assert_canceled(run)

    assert len(server.starts()) == 1
    assert len(server.stops()) == 1
    [sync] = server.syncs()
    asked = f"Sync {sync.id} of connection {connection}: RudderStack was asked to stop it"
    assert run.has_logged(f"Interrupted. {asked}")
    assert f"The run was canceled. {asked}" in run.reason
    # A wait that cannot be interrupted would last until the next poll.
    assert run.step_failed_at - asked_at < POLL_SECONDS / 3


def test_cancel__several_connections(dagster: Deployment, server: LocalRudderStack) -> None:
    """Each sync of the run is stopped once."""
    names = ("crm", "ads", "mail")
    for name in names:
        server.add_connection(name, script=HOUR)
    run = dagster.launch(*names, config=executor("multiprocess", max_concurrent=3))
    for name in names:
        run.wait_for_sync_start(name)

    dagster.cancel(run)
    assert run.wait_for_end() == "CANCELED", run.log

    assert [len(server.starts(name)) for name in names] == [1, 1, 1]
    assert [len(server.stops(name)) for name in names] == [1, 1, 1]


def test_cancel__in_a_shell(dagster: Deployment, server: LocalRudderStack) -> None:
    """Canceling a run with the `dagster-graphql` command stops its sync, as in the UI."""
    server.add_connection("crm", script=HOUR)
    run = dagster.launch("crm")
    run.wait_for_log("Started sync")

    dagster.cancel_in_a_shell(run)
    assert_canceled(run)

    assert len(server.starts()) == len(server.stops()) == 1


def test_cancel__never_stop(dagster: Deployment, server: LocalRudderStack) -> None:
    """With `stop_on_termination="never"` the sync is left running, and the log says so."""
    server.add_connection("crm_never", script=HOUR)
    run = dagster.launch("crm_never")
    run.wait_for_log("Started sync")

    dagster.cancel(run)
    assert_canceled(run)

    [sync] = server.syncs()
    assert sync.running
    assert server.stops() == []
    assert run.has_logged(f"Sync {sync.id} of connection crm_never is left running")


@pytest.mark.parametrize(
    ("executor_name", "asset"), [("in_process", "crm_retry"), ("multiprocess", "crm")]
)
def test_cancel__by_force(
    dagster: Deployment, server: LocalRudderStack, executor_name: str, asset: str
) -> None:
    """A run that is forced to CANCELED still stops its sync when its process ends."""
    server.add_connection(asset, script=HOUR)
    run = dagster.launch(asset, config=executor(executor_name))
    run.wait_for_log("Started sync")

    dagster.cancel(run, force=True)
    assert_canceled(run)

    assert len(server.starts()) == 1
    assert len(server.stops()) == 1


def test_cancel__attached(dagster: Deployment, server: LocalRudderStack) -> None:
    """A run that waits for the sync of another client does not stop it."""
    server.add_connection("crm_attach", script=HOUR)
    other = server.start_sync("crm_attach", "dashboard")
    run = dagster.launch("crm_attach")
    run.wait_for_log(f"Attached to sync {other} of connection crm_attach")

    dagster.cancel(run)
    assert_canceled(run)

    assert server.stops() == []
    assert run.has_logged(
        f"Sync {other} of connection crm_attach: it was left running, since another"
    )


def test_cancel__while_another_sync_runs(dagster: Deployment, server: LocalRudderStack) -> None:
    """A run that waits to start its sync has no sync to stop."""
    server.add_connection("crm_retry", script=HOUR)
    other = server.start_sync("crm_retry", "schedule")
    run = dagster.launch("crm_retry")
    run.wait_for_log(f"Sync {other} of connection crm_retry is already running")

    dagster.cancel(run)
    assert_canceled(run)

    assert server.starts() == server.stops() == []
    assert run.has_logged("There was no sync to stop")


def test_cancel__before_the_answer_to_the_start(
    dagster: Deployment, server: LocalRudderStack
) -> None:
    """A sync whose id has not arrived yet is found and stopped."""
    server.add_connection("crm", script=HOUR)
    server.add_fault(Fault("slow", operation="start", seconds=50, effect=True))
    run = dagster.launch("crm")
    process_of(server, "crm")

    dagster.cancel(run)
    assert_canceled(run)

    [sync] = server.syncs()
    assert [stop.affected for stop in server.stops()] == [(sync.id,)]
    assert run.has_logged(f"Sync {sync.id} of connection crm: RudderStack was asked to stop it")


def test_cancel__signals_during_the_stop(dagster: Deployment, server: LocalRudderStack) -> None:
    """Further signals neither interrupt the stop nor repeat it."""
    server.add_connection("crm_retry", script=HOUR)
    server.add_fault(Fault("slow", operation="stop", seconds=3, effect=True))
    run = dagster.launch("crm_retry")
    worker = process_of(server, "crm_retry")
    run.wait_for_log("Started sync")

    dagster.cancel(run)
    wait_for(server.stops, "the stop")
    for what in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        signal_process(worker, what)
        time.sleep(0.2)  # the system merges equal signals that are pending
    dagster.cancel(run, force=True)
    assert_canceled(run)

    assert len(server.starts()) == 1
    assert len(server.stops()) == 1
    assert run.has_logged("RudderStack was asked to stop it")


def test_cancel__retry_in_an_outage(dagster: Deployment, server: LocalRudderStack) -> None:
    """A retry that could not read the sync of the earlier attempt yet stops it."""
    server.add_connection("crm", script=HOUR)
    first = dagster.launch("crm")
    worker = process_of(server, "crm")
    first.wait_for_log("Started sync")
    signal_process(worker, signal.SIGKILL)
    assert first.wait_for_end() == "FAILURE", first.log
    server.add_fault(Fault("status", operation="get_sync", until_seconds=600))
    second = dagster.reexecute(first)
    second.wait_for_log("Trying again in")

    server.clear_faults()
    dagster.cancel(second)
    assert_canceled(second)

    [sync] = server.syncs()
    assert [stop.affected for stop in server.stops()] == [(sync.id,)]


def test_cancel__then_reexecute(
    dagster: Deployment, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A re-execution waits for the end of a sync that is being stopped, and starts a new one."""
    server.add_connection("crm_quick", script=HOUR, stop_delay_seconds=60)
    first = dagster.launch("crm_quick")
    first.wait_for_log("Started sync")
    dagster.cancel(first)
    assert_canceled(first)

    second = dagster.reexecute(first)
    second.wait_for_log("is already running")
    clock.advance(60)
    second.wait_for_log("Started sync")
    clock.advance(3600)
    assert second.wait_for_end() == "SUCCESS", second.log

    stopped, started = server.syncs()
    assert stopped.status == "failed"
    assert started.started_at >= (stopped.finished_at or 0.0)
    assert second.origins == {"crm_quick": "started"}
