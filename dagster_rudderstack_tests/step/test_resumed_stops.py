"""An interrupt of a step that resumes the syncs of an earlier run: none of them is forgotten."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.step.group import SHORT, add, group
from dagster_rudderstack_tests.step.world import log_lines, when

NAMES = ("c0", "c1", "c2", "c3")
UNREACHABLE = Fault("status", operation="get_sync", times=None)

after_first_event: list[Callable[[dg.AssetExecutionContext], object]] = []
"""What the step's own code does after its first event. Empty in a step that is not dropped."""


def end_early(
    context: dg.AssetExecutionContext, sync: Callable[[], Iterator[Any]]
) -> Iterator[Any]:
    """Sync, and end after the first event if the test asks for it."""
    for event in sync():
        yield event
        for act in after_first_event:
            act(context)
            return


def job() -> dg.JobDefinition:
    """Return a job that sends one request at a time."""
    rudderstack = RudderStackResource(
        access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
        api_url=dg.EnvVar("RUDDERSTACK_API_URL"),
        poll_min_interval_seconds=0.05,
        poll_max_interval_seconds=0.05,
        max_concurrent_requests=1,
        outage_tolerance_seconds=dg.EnvVar.int("OUTAGE_TOLERANCE_SECONDS"),
    )
    defs = dg.Definitions(
        assets=[group(*NAMES, execute=end_early, checks=None)],
        jobs=[dg.define_asset_job("everything", executor_def=dg.in_process_executor)],
        resources={"rudderstack": rudderstack},
    )
    return defs.resolve_job_def("everything")


def execute(instance: dg.DagsterInstance, parent: dg.DagsterRun | None = None) -> dg.DagsterRun:
    """Run the job, or re-execute a run from its failure, and return the stored run."""
    again = dg.ReexecutionOptions.from_failure(parent.run_id, instance) if parent else None
    with (
        contextlib.suppress(dg.DagsterExecutionInterruptedError, KeyboardInterrupt),
        dg.execute_job(
            dg.reconstructable(job),
            instance=instance,
            reexecution_options=again,
            raise_on_error=False,
        ),
    ):
        pass
    return instance.get_runs(limit=1)[0]


@pytest.fixture(autouse=True)
def connections(server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
    monkeypatch.setenv("RUDDERSTACK_API_URL", server.url)
    monkeypatch.setenv("OUTAGE_TOLERANCE_SECONDS", "600")
    add(server, *NAMES, script=SyncScript(never_ends=True))


def run_in_outage(
    server: LocalRudderStack, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> dg.DagsterRun:
    """Return a run that started all syncs and failed in an outage, which is over now."""
    server.add_fault(UNREACHABLE)
    with monkeypatch.context() as settings:
        settings.setenv("OUTAGE_TOLERANCE_SECONDS", "0")
        run = execute(instance)
    server.clear_faults()
    server.clear_requests()
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert len(server.syncs()) == len(NAMES)
    return run


def cancel(instance: dg.DagsterInstance) -> None:
    """Cancel the newest run as the UI does: set its status, then interrupt its process."""
    instance.report_run_canceling(instance.get_runs(limit=1)[0])
    os.kill(os.getpid(), signal.SIGINT)


def stopped(server: LocalRudderStack) -> list[str]:
    """Return the connections that RudderStack was asked to stop, once for each request."""
    return sorted(request.connection_id or "" for request in server.stops())


def interrupt_lines(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[str]:
    return sorted(line for line in log_lines(instance, run.run_id) if "Interrupted" in line)


def test_canceled__before_all_were_looked_up(
    server: LocalRudderStack, stored_instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancel stops also the resumed syncs that the step has not looked up yet."""
    failed_run = run_in_outage(server, stored_instance, monkeypatch)
    server.add_fault(Fault("slow", operation="get_sync", seconds=1.0))
    is_looking = lambda: any(r.operation == "get_sync" for r in server.requests)  # noqa: E731

    with when(is_looking, lambda: cancel(stored_instance)):
        run = execute(stored_instance, failed_run)

    assert run.status is dg.DagsterRunStatus.CANCELED
    assert stopped(server) == list(NAMES)
    assert len(interrupt_lines(stored_instance, run)) == len(NAMES)


@pytest.mark.parametrize("canceled", [True, False], ids=["canceled", "evicted"])
def test_dropped__before_all_were_looked_up(
    server: LocalRudderStack,
    stored_instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    canceled: bool,
) -> None:
    """A step that is dropped stops or names also the resumed syncs whose state is unknown yet."""
    server.script_next("c2", SHORT)
    failed_run = run_in_outage(server, stored_instance, monkeypatch)
    server.add_fault(Fault("status", operation="get_sync", connection_id="c0", times=None))

    def drop(context: dg.AssetExecutionContext) -> None:
        server.clear_faults()
        if canceled:
            stored_instance.report_run_canceling(context.run)

    monkeypatch.setattr(f"{__name__}.after_first_event", [drop])
    run = execute(stored_instance, failed_run)

    left = ["c0", "c1", "c3"]
    assert stopped(server) == (left if canceled else [])
    lines = interrupt_lines(stored_instance, run)
    assert len(lines) == len(left)
    expected = "asked to stop it" if canceled else "a retry of this Dagster run resumes it"
    assert all(expected in line for line in lines)
