"""After the process of a sync dies, the next attempt resumes the sync and starts no other one."""

import signal

import pytest

from dagster_rudderstack.testing import Fault, LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.processes.harness import (
    Deployment,
    executor,
    process_of,
    signal_process,
)

pytestmark = pytest.mark.processes

HOUR = SyncScript(duration_seconds=3600, rows_total=10)
ONE_RETRY = {"dagster/max_retries": "1"}


def test_worker_killed(dagster: Deployment, server: LocalRudderStack, clock: ManualClock) -> None:
    """The daemon's retry of the run resumes the sync and reports it."""
    server.add_connection("crm_quick", script=HOUR)
    run = dagster.launch("crm_quick", tags=ONE_RETRY)
    run.wait_for_log("Started sync")

    signal_process(process_of(server, "crm_quick"), signal.SIGKILL)
    assert run.wait_for_end() == "FAILURE", run.log
    retry = dagster.home.retry_of(run)
    retry.wait_for_log("Resumed sync")
    clock.advance(3600)
    assert retry.wait_for_end() == "SUCCESS", retry.log

    [sync] = server.syncs()
    assert retry.origins == {"crm_quick": "resumed"}
    assert [each.metadata["rudderstack/sync_id"].value for each in retry.materializations] == [
        sync.id
    ]
    assert server.stops() == []


def test_worker_killed__during_the_start(
    dagster: Deployment, server: LocalRudderStack, clock: ManualClock
) -> None:
    """The retry of an op that died before it had the id of its sync adopts the sync."""
    server.add_connection("ads", script=HOUR)
    server.add_fault(Fault("slow", operation="start", seconds=50, effect=True))
    config = {
        **executor("in_process"),
        "ops": {
            "rudderstack_sync_op": {"config": {"connection_id": "ads", "asset_key": ["reported"]}}
        },
    }
    run = dagster.launch(job="sync_job", config=config, tags=ONE_RETRY)

    signal_process(process_of(server, "ads"), signal.SIGKILL)
    assert run.wait_for_end() == "FAILURE", run.log
    clock.advance(3600)
    retry = dagster.home.retry_of(run)
    assert retry.wait_for_end() == "SUCCESS", retry.log

    assert len(server.starts()) == 1
    assert retry.origins == {"reported": "adopted"}
    assert retry.has_logged("A previous attempt may have started a sync of connection ads")


def test_worker_terminated(
    dagster: Deployment, server: LocalRudderStack, clock: ManualClock
) -> None:
    """The sync of an evicted worker keeps running, and the daemon's retry resumes it."""
    server.add_connection("crm", script=HOUR)
    run = dagster.launch("crm", tags=ONE_RETRY)
    run.wait_for_log("Started sync")

    signal_process(process_of(server, "crm"), signal.SIGTERM)
    assert run.wait_for_end() == "FAILURE", run.log
    clock.advance(3600)
    retry = dagster.home.retry_of(run)
    assert retry.wait_for_end() == "SUCCESS", retry.log

    assert run.has_logged(
        "of connection crm is left running: a retry of this Dagster run resumes it"
    )
    assert len(server.starts()) == 1
    assert server.stops() == []
    assert retry.origins == {"crm": "resumed"}


def test_worker_terminated__with_a_retry_policy(
    dagster: Deployment, server: LocalRudderStack, clock: ManualClock
) -> None:
    """An evicted step with a RetryPolicy is retried by Dagster and resumes the same sync."""
    server.add_connection("crm_retry", script=HOUR)
    run = dagster.launch("crm_retry")
    run.wait_for_log("Started sync")

    signal_process(process_of(server, "crm_retry"), signal.SIGTERM)
    run.wait_for_log("is left running")
    clock.advance(3600)
    assert run.wait_for_end() == "SUCCESS", run.log

    assert run.step_starts == 2
    assert len(server.starts()) == 1
    assert server.stops() == []
    assert run.origins == {"crm_retry": "resumed"}


def test_step_killed__with_a_retry_policy(
    dagster: Deployment, server: LocalRudderStack, clock: ManualClock
) -> None:
    """The retry of a killed step in the same run resumes the sync."""
    server.add_connection("crm_retry", script=HOUR)
    run = dagster.launch("crm_retry", config=executor("multiprocess"))
    run.wait_for_log("Started sync")

    clock.advance(3600)
    signal_process(process_of(server, "crm_retry"), signal.SIGKILL)
    assert run.wait_for_end() == "SUCCESS", run.log

    assert run.step_starts == 2
    assert len(server.starts()) == 1
    assert run.origins == {"crm_retry": "resumed"}
    assert run.has_logged("Resumed sync")


def test_step_retry__failed_sync(dagster: Deployment, server: LocalRudderStack) -> None:
    """The step retry of a failed sync starts a new sync."""
    server.add_connection("crm_quick_retry", script=SyncScript(rows_total=10))
    failing = SyncScript(status="failed", error="relation does not exist")
    server.script_next("crm_quick_retry", failing)
    run = dagster.launch("crm_quick_retry")
    assert run.wait_for_end() == "SUCCESS", run.log

    failed, retried = server.syncs()
    assert (failed.status, retried.status) == ("failed", "succeeded")
    assert len(server.starts()) == 2
    assert run.origins == {"crm_quick_retry": "started"}


def test_step_killed__several_connections(
    dagster: Deployment, server: LocalRudderStack, clock: ManualClock
) -> None:
    """The daemon's retry of a run resumes the lost sync and does not repeat the others."""
    names = ("ads", "mail")
    for name in names:
        server.add_connection(name, script=HOUR)
    run = dagster.launch(*names, config=executor("multiprocess"), tags=ONE_RETRY)
    for name in names:
        run.wait_for_sync_start(name)

    signal_process(process_of(server, "ads"), signal.SIGKILL)
    clock.advance(3600)
    assert run.wait_for_end() == "FAILURE", run.log
    retry = dagster.home.retry_of(run)
    assert retry.wait_for_end() == "SUCCESS", retry.log

    assert [len(server.starts(name)) for name in names] == [1, 1]
    assert run.origins == {"mail": "started"}
    assert retry.origins == {"ads": "resumed"}


def test_worker_killed__partitions(
    dagster: Deployment, server: LocalRudderStack, clock: ManualClock
) -> None:
    """Each of two partitions of a connection reports its own sync, also after a retry."""
    server.add_connection("crm_parts", script=HOUR)
    monday = dagster.launch("crm_parts", tags={**ONE_RETRY, "dagster/partition": "monday"})
    monday.wait_for_log("Started sync")
    signal_process(process_of(server, "crm_parts"), signal.SIGKILL)
    tuesday = dagster.launch("crm_parts", tags={"dagster/partition": "tuesday"})
    tuesday.wait_for_log("is already running")
    retry = dagster.home.retry_of(monday)
    retry.wait_for_log("Resumed sync")

    clock.advance(3600)
    assert retry.wait_for_end() == "SUCCESS", retry.log
    tuesday.wait_for_log("Started sync")
    clock.advance(3600)
    assert tuesday.wait_for_end() == "SUCCESS", tuesday.log

    first, second = server.syncs()
    reported = {
        each.partition: each.metadata["rudderstack/sync_id"].value
        for each in (*retry.materializations, *tuesday.materializations)
    }
    assert reported == {"monday": first.id, "tuesday": second.id}
