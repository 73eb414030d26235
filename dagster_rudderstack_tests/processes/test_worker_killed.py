"""A process dies while its sync runs: the next attempt takes it up, and starts no second one."""

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
    """The daemon's retry waits on for the sync that runs, and reports it."""
    server.add_connection("crm_quick", script=HOUR)
    run = dagster.launch("crm_quick", tags=ONE_RETRY)
    run.told("Started sync")

    signal_process(process_of(server, "crm_quick"), signal.SIGKILL)
    assert run.ended() == "FAILURE", run.page
    retry = dagster.home.retry_of(run)
    retry.told("Resumed sync")
    clock.advance(3600)
    assert retry.ended() == "SUCCESS", retry.page

    [sync] = server.syncs()
    assert retry.origins == {"crm_quick": "resumed"}
    assert [each.metadata["rudderstack/sync_id"].value for each in retry.materializations] == [
        sync.id
    ]
    assert server.stops() == []


def test_worker_killed__during_the_start(
    dagster: Deployment, server: LocalRudderStack, clock: ManualClock
) -> None:
    """An op that died before it knew the id of its sync finds it again."""
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
    assert run.ended() == "FAILURE", run.page
    clock.advance(3600)
    retry = dagster.home.retry_of(run)
    assert retry.ended() == "SUCCESS", retry.page

    assert len(server.starts()) == 1
    assert retry.origins == {"reported": "adopted"}
    assert retry.says("An earlier attempt was about to start a sync of connection ads")


def test_worker_terminated(
    dagster: Deployment, server: LocalRudderStack, clock: ManualClock
) -> None:
    """A worker that is evicted leaves its sync to the daemon's retry."""
    server.add_connection("crm", script=HOUR)
    run = dagster.launch("crm", tags=ONE_RETRY)
    run.told("Started sync")

    signal_process(process_of(server, "crm"), signal.SIGTERM)
    assert run.ended() == "FAILURE", run.page
    clock.advance(3600)
    retry = dagster.home.retry_of(run)
    assert retry.ended() == "SUCCESS", retry.page

    assert run.says("of connection crm is left running: a retry of this run resumes it")
    assert len(server.starts()) == 1
    assert server.stops() == []
    assert retry.origins == {"crm": "resumed"}


def test_worker_terminated__with_a_retry_policy(
    dagster: Deployment, server: LocalRudderStack, clock: ManualClock
) -> None:
    """Dagster makes a step retry of the eviction; it waits on for the same sync."""
    server.add_connection("crm_retry", script=HOUR)
    run = dagster.launch("crm_retry")
    run.told("Started sync")

    signal_process(process_of(server, "crm_retry"), signal.SIGTERM)
    run.told("is left running")
    clock.advance(3600)
    assert run.ended() == "SUCCESS", run.page

    assert run.step_starts == 2
    assert len(server.starts()) == 1
    assert server.stops() == []
    assert run.origins == {"crm_retry": "resumed"}


def test_step_killed__with_a_retry_policy(
    dagster: Deployment, server: LocalRudderStack, clock: ManualClock
) -> None:
    """The retry of a step whose process was killed takes the sync up, in the same run."""
    server.add_connection("crm_retry", script=HOUR)
    run = dagster.launch("crm_retry", config=executor("multiprocess"))
    run.told("Started sync")

    clock.advance(3600)
    signal_process(process_of(server, "crm_retry"), signal.SIGKILL)
    assert run.ended() == "SUCCESS", run.page

    assert run.step_starts == 2
    assert len(server.starts()) == 1
    assert run.origins == {"crm_retry": "resumed"}
    assert run.says("Resumed sync")


def test_step_retry(dagster: Deployment, server: LocalRudderStack) -> None:
    """A sync that failed is started anew by the step retry: nobody is waiting for the old one."""
    server.add_connection("crm_quick_retry", script=SyncScript(rows_total=10))
    failing = SyncScript(status="failed", error="relation does not exist")
    server.script_next("crm_quick_retry", failing)
    run = dagster.launch("crm_quick_retry")
    assert run.ended() == "SUCCESS", run.page

    failed, ours = server.syncs()
    assert (failed.status, ours.status) == ("failed", "succeeded")
    assert len(server.starts()) == 2
    assert run.origins == {"crm_quick_retry": "started"}


def test_step_killed__several_connections(
    dagster: Deployment, server: LocalRudderStack, clock: ManualClock
) -> None:
    """The daemon's retry of a run takes up the one sync that was lost, and leaves the others."""
    names = ("ads", "mail")
    for name in names:
        server.add_connection(name, script=HOUR)
    run = dagster.launch(*names, config=executor("multiprocess"), tags=ONE_RETRY)
    for name in names:
        run.started(name)

    signal_process(process_of(server, "ads"), signal.SIGKILL)
    clock.advance(3600)
    assert run.ended() == "FAILURE", run.page
    retry = dagster.home.retry_of(run)
    assert retry.ended() == "SUCCESS", retry.page

    assert [len(server.starts(name)) for name in names] == [1, 1]
    assert run.origins == {"mail": "started"}
    assert retry.origins == {"ads": "resumed"}


def test_worker_killed__partitions(
    dagster: Deployment, server: LocalRudderStack, clock: ManualClock
) -> None:
    """Two partitions of one connection: each reports its own sync, also when one is retried."""
    server.add_connection("crm_parts", script=HOUR)
    monday = dagster.launch("crm_parts", tags={**ONE_RETRY, "dagster/partition": "monday"})
    monday.told("Started sync")
    signal_process(process_of(server, "crm_parts"), signal.SIGKILL)
    tuesday = dagster.launch("crm_parts", tags={"dagster/partition": "tuesday"})
    tuesday.told("is already running")
    again = dagster.home.retry_of(monday)
    again.told("Resumed sync")

    clock.advance(3600)
    assert again.ended() == "SUCCESS", again.page
    tuesday.told("Started sync")
    clock.advance(3600)
    assert tuesday.ended() == "SUCCESS", tuesday.page

    first, second = server.syncs()
    reported = {
        each.partition: each.metadata["rudderstack/sync_id"].value
        for each in (*again.materializations, *tuesday.materializations)
    }
    assert reported == {"monday": first.id, "tuesday": second.id}
