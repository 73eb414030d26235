"""An interrupt of a step with many syncs: each sync is stopped, or left running for a retry."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackResource, build_rudderstack_sync_assets
from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.step.world import log_lines, record_kinds, resource_of, when

NEVER_ENDS = SyncScript(never_ends=True)
NAMES = [f"c{number}" for number in range(8)]
STEP = build_rudderstack_sync_assets(connections={name: name for name in NAMES}, name="activation")
STEP_WITH_RETRIES = build_rudderstack_sync_assets(
    connections={name: name for name in NAMES},
    name="activation",
    retry_policy=dg.RetryPolicy(max_retries=3),
)


@pytest.fixture(autouse=True)
def connections(server: LocalRudderStack) -> None:
    for name in NAMES:
        server.add_connection(name, script=NEVER_ENDS)


def job_of(step: dg.AssetsDefinition, rudderstack: RudderStackResource) -> dg.JobDefinition:
    defs = dg.Definitions(
        assets=[step],
        jobs=[dg.define_asset_job("everything")],
        resources={"rudderstack": rudderstack},
    )
    return defs.resolve_job_def("everything")


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def instance(stored_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """A Dagster instance that a thread may read while a run writes."""
    return stored_instance


def all_are_running(instance: dg.DagsterInstance) -> Callable[[], bool]:
    """Return the condition that all syncs are running and recorded."""

    def condition() -> bool:
        return record_kinds(instance).count("waiting") == len(NAMES)

    return condition


def cancel(instance: dg.DagsterInstance) -> None:
    """Cancel the only run as the UI does: set its status, then interrupt its process."""
    (run,) = instance.get_runs()
    instance.report_run_canceling(run)
    interrupt()


def execute(
    step: dg.AssetsDefinition, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> dg.DagsterRun:
    """Run a step until the interrupt ends it, and return the stored run."""
    execute_job(job_of(step, rudderstack), instance)
    (run,) = instance.get_runs()
    return run


def execute_job(job: dg.JobDefinition, instance: dg.DagsterInstance) -> None:
    with contextlib.suppress(dg.DagsterExecutionInterruptedError, KeyboardInterrupt):
        job.execute_in_process(instance=instance, raise_on_error=False)


@pytest.mark.parametrize("step", [STEP, STEP_WITH_RETRIES], ids=["no_retries", "retries"])
def test_interrupt__run_canceled(
    server: LocalRudderStack, instance: dg.DagsterInstance, step: dg.AssetsDefinition
) -> None:
    """If a run is canceled, each of its syncs is stopped once, and no retry starts it again."""
    with when(all_are_running(instance), lambda: cancel(instance)):
        run = execute(step, resource_of(server), instance)

    assert run.status is dg.DagsterRunStatus.CANCELED
    assert sorted(request.connection_id or "" for request in server.stops()) == NAMES
    assert not any(sync.running for sync in server.syncs())
    assert len(server.starts()) == len(NAMES)
    lines = [line for line in log_lines(instance, run.run_id) if "Interrupted" in line]
    assert len(lines) == len(NAMES)
    assert all("RudderStack was asked to stop it" in line for line in lines)
    for name in NAMES:
        (record,) = instance.fetch_observations(dg.AssetKey(name), limit=10).records
        assert record.asset_observation is not None
        text = record.asset_observation.description or ""
        assert text.endswith(f"of connection {name} was stopped because the run was canceled.")


def test_interrupt__worker_evicted(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """If the run was not canceled, an interrupt leaves its syncs running for a retry."""
    with when(all_are_running(instance), interrupt):
        run = execute(STEP, resource_of(server), instance)

    assert run.status is not dg.DagsterRunStatus.SUCCESS
    assert server.stops() == []
    assert all(sync.running for sync in server.syncs())


def test_interrupt__stop_on_termination_always(
    server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """With `stop_on_termination="always"`, every interrupt stops the syncs of the step."""
    with when(all_are_running(instance), interrupt):
        execute(STEP, resource_of(server, stop_on_termination="always"), instance)

    assert len(server.stops()) == len(NAMES)


def test_interrupt__attached_sync(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """If a run is canceled, a sync that it attached to is left running."""
    server.start_sync("c0", origin="dashboard")
    started_by_the_step = set(NAMES) - {"c0"}

    with when(all_are_running(instance), lambda: cancel(instance)):
        execute(STEP, resource_of(server, on_running_sync="attach"), instance)

    assert {request.connection_id for request in server.stops()} <= started_by_the_step
    assert all(sync.running for sync in server.syncs("c0"))


# --- an interrupt while Dagster stores an event: Dagster then drops the step without an error


class WhenStored(logging.Handler):
    """Does something, once, while Dagster stores the first materialization."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self._acts = [act]

    def emit(self, record: logging.LogRecord) -> None:
        """Act if the log line is that of a materialization."""
        if "Materialized value" in record.getMessage() and self._acts:
            self._acts.pop()()


def job_with(handler: logging.Handler, rudderstack: RudderStackResource) -> dg.JobDefinition:
    """Return a job whose log lines go to a handler."""

    @dg.logger
    def events(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("events", logging.DEBUG)  # noqa: LOG001 - not shared with other tests
        logger.addHandler(handler)
        return logger

    defs = dg.Definitions(
        assets=[STEP],
        jobs=[dg.define_asset_job("everything", config={"loggers": {"events": {}}})],
        resources={"rudderstack": rudderstack},
        loggers={"events": events},
    )
    return defs.resolve_job_def("everything")


def join_monitor() -> None:
    """Wait until the interrupt monitor has handled a dropped step."""
    for thread in threading.enumerate():
        if thread.name == "rudderstack-interrupts":
            thread.join(30)


@pytest.mark.parametrize("canceled", [True, False], ids=["canceled", "evicted"])
def test_dropped_step(
    server: LocalRudderStack, instance: dg.DagsterInstance, canceled: bool
) -> None:
    """An interrupt while Dagster stores an event stops the syncs only if the run was canceled."""
    server.set_script("c0", SyncScript(duration_seconds=0.5))
    act = (lambda: cancel(instance)) if canceled else interrupt

    execute_job(job_with(WhenStored(act), resource_of(server)), instance)
    join_monitor()

    stopped = {request.connection_id or "" for request in server.stops()}
    assert stopped == (set(NAMES[1:]) if canceled else set())
    (run,) = instance.get_runs()
    # Dagster has already marked the interrupted run as failed.
    begin = "Interrupted." if canceled else "The run has already ended."
    lines = [line for line in log_lines(instance, run.run_id) if line.startswith(begin)]
    assert len(lines) == len(NAMES) - 1


@pytest.mark.processes
def test_dropped_step__end_of_process(server: LocalRudderStack, tmp_path: Path) -> None:
    """A process does not end before the syncs of its dropped step are stopped."""
    server.set_script("c0", SyncScript(duration_seconds=0.5))
    script = """
        import os
        import sys

        import dagster as dg

        from dagster_rudderstack_tests.step import test_interrupts as tests

        rudderstack = tests.RudderStackResource(access_token=sys.argv[1], api_url=sys.argv[2])
        with dg.DagsterInstance.get() as instance:
            handler = tests.WhenStored(lambda: tests.cancel(instance))
            tests.execute_job(tests.job_with(handler, rudderstack), instance)
        print("last line of the script")
    """

    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), server.access_token, server.url],
        env={**os.environ, "DAGSTER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert process.stdout.endswith("last line of the script\n"), process.stderr
    assert {request.connection_id for request in server.stops()} == set(NAMES[1:])
