"""An interrupt of a step with many syncs: each is stopped, or left for the retry, as asked."""

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

ENDLESS = SyncScript(never_ends=True)
NAMES = [f"c{number}" for number in range(8)]
STEP = build_rudderstack_sync_assets(connections={name: name for name in NAMES}, name="activation")
PATIENT = build_rudderstack_sync_assets(
    connections={name: name for name in NAMES},
    name="activation",
    retry_policy=dg.RetryPolicy(max_retries=3),
)


@pytest.fixture(autouse=True)
def connections(server: LocalRudderStack) -> None:
    for name in NAMES:
        server.add_connection(name, script=ENDLESS)


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
    """A Dagster instance that may be read while a run writes."""
    return stored_instance


def all_run(instance: dg.DagsterInstance) -> Callable[[], bool]:
    """Return whether all syncs are running and recorded."""

    def condition() -> bool:
        return record_kinds(instance).count("waiting") == len(NAMES)

    return condition


def cancel(instance: dg.DagsterInstance) -> None:
    """Cancel the only run, as the UI does: mark it, then interrupt its process."""
    (run,) = instance.get_runs()
    instance.report_run_canceling(run)
    interrupt()


def execute(
    step: dg.AssetsDefinition, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> dg.DagsterRun:
    """Run a step until the interrupt ends it, and return the run as it is then."""
    execute_job(job_of(step, rudderstack), instance)
    (run,) = instance.get_runs()
    return run


def execute_job(job: dg.JobDefinition, instance: dg.DagsterInstance) -> None:
    with contextlib.suppress(dg.DagsterExecutionInterruptedError, KeyboardInterrupt):
        job.execute_in_process(instance=instance, raise_on_error=False)


@pytest.mark.parametrize("step", [STEP, PATIENT], ids=["no retries", "retries"])
def test_a_canceled_run_stops_all(
    server: LocalRudderStack, instance: dg.DagsterInstance, step: dg.AssetsDefinition
) -> None:
    """A person's cancel stops each of our syncs, once; no retry starts them again."""
    with when(all_run(instance), lambda: cancel(instance)):
        run = execute(step, resource_of(server), instance)

    assert run.status is dg.DagsterRunStatus.CANCELED
    assert sorted(request.connection_id or "" for request in server.stops()) == NAMES
    assert not any(sync.running for sync in server.syncs())
    assert len(server.starts()) == len(NAMES)
    told = [line for line in log_lines(instance, run.run_id) if "Interrupted" in line]
    assert len(told) == len(NAMES)
    assert all("RudderStack was asked to stop it" in line for line in told)
    for name in NAMES:
        (record,) = instance.fetch_observations(dg.AssetKey(name), limit=10).records
        assert record.asset_observation is not None
        text = record.asset_observation.description or ""
        assert text.endswith(f"of connection {name} was stopped, since the run was canceled.")


def test_an_evicted_worker_leaves_all_running(
    server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """An interrupt that nobody asked for leaves the syncs to the retry of the run."""
    with when(all_run(instance), interrupt):
        run = execute(STEP, resource_of(server), instance)

    assert run.status is not dg.DagsterRunStatus.SUCCESS
    assert server.stops() == []
    assert all(sync.running for sync in server.syncs())


def test_stop_on_termination_always(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """With stop_on_termination 'always' any interrupt stops them."""
    with when(all_run(instance), interrupt):
        execute(STEP, resource_of(server, stop_on_termination="always"), instance)

    assert len(server.stops()) == len(NAMES)


def test_what_others_started_is_not_stopped(
    server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """Syncs that the step waits for but did not start go on."""
    server.start_sync("c0", origin="dashboard")
    ours = set(NAMES) - {"c0"}

    with when(all_run(instance), lambda: cancel(instance)):
        execute(STEP, resource_of(server, on_running_sync="attach"), instance)

    assert {request.connection_id for request in server.stops()} <= ours
    assert all(sync.running for sync in server.syncs("c0"))


# --- while Dagster stores an event: it then drops the step without a word


class WhenStored(logging.Handler):
    """Does something, once, while Dagster stores a materialization."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self._acts = [act]

    def emit(self, record: logging.LogRecord) -> None:
        """Act when the event comes."""
        if "Materialized value" in record.getMessage() and self._acts:
            self._acts.pop()()


def job_with(handler: logging.Handler, rudderstack: RudderStackResource) -> dg.JobDefinition:
    """Return the job, with a handler of its events."""

    @dg.logger
    def events(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("events", logging.DEBUG)  # noqa: LOG001 - one of its own
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
    """Wait for what goes on after a step was dropped."""
    for thread in threading.enumerate():
        if thread.name == "rudderstack-interrupts":
            thread.join(30)


@pytest.mark.parametrize("canceled", [True, False], ids=["canceled", "evicted"])
def test_a_dropped_step(
    server: LocalRudderStack, instance: dg.DagsterInstance, canceled: bool
) -> None:
    """A step that is interrupted while it stands still does what it would have done otherwise."""
    server.set_script("c0", SyncScript(duration_seconds=0.5))
    act = (lambda: cancel(instance)) if canceled else interrupt

    execute_job(job_with(WhenStored(act), resource_of(server)), instance)
    join_monitor()

    stopped = {request.connection_id or "" for request in server.stops()}
    assert stopped == (set(NAMES[1:]) if canceled else set())
    (run,) = instance.get_runs()
    told = [line for line in log_lines(instance, run.run_id) if "Interrupted" in line]
    assert len(told) == len(NAMES) - 1


@pytest.mark.processes
def test_a_dropped_step_in_a_process_that_ends(server: LocalRudderStack, tmp_path: Path) -> None:
    """The process does not end before the syncs of its dropped step are stopped."""
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
        print("at the end")
    """

    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), server.access_token, server.url],
        env={**os.environ, "DAGSTER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert process.stdout.endswith("at the end\n"), process.stderr
    assert {request.connection_id for request in server.stops()} == set(NAMES[1:])
