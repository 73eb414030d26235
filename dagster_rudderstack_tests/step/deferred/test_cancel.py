"""A run that is canceled while it starts deferred syncs."""

import contextlib
import os
import signal

import dagster as dg

from dagster_rudderstack.testing import Fault, LocalRudderStack
from dagster_rudderstack_tests.step.group import add, group
from dagster_rudderstack_tests.step.world import log_lines, resource_of, run, when


def test_canceled__while_others_start(
    server: LocalRudderStack, stored_instance: dg.DagsterInstance
) -> None:
    """The log names the syncs that were started before the cancel and are left to the sensor."""
    add(server, "a", "b", "c")
    server.add_fault(Fault("slow", operation="start", connection_id="c", seconds=1.0, effect=True))
    step = group("a", "b", "c", wait=False)

    def cancel() -> None:
        stored_instance.report_run_canceling(stored_instance.get_runs()[0])
        os.kill(os.getpid(), signal.SIGINT)

    with (
        when(lambda: bool(server.starts("c")), cancel),
        contextlib.suppress(dg.DagsterExecutionInterruptedError, KeyboardInterrupt),
    ):
        run([step], resource_of(server, max_concurrent_requests=1), stored_instance)

    (stored,) = stored_instance.get_runs()
    assert stored.status is dg.DagsterRunStatus.CANCELED
    assert server.stops() == []
    lines = [line for line in log_lines(stored_instance, stored.run_id) if "Interrupted" in line]
    assert sorted(lines) == sorted(
        f"Interrupted. Sync {sync.id} of connection {sync.connection_id} is left running. The "
        "polling sensor that watches the asset reports how it ends."
        for sync in server.syncs()
    )
