"""A run that ends, without an interrupt, while a step's own code is slow between two events."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.step.group import SHORT, add, group
from dagster_rudderstack_tests.step.world import log_lines, resource_of, run


@pytest.mark.parametrize("canceled", [True, False], ids=["canceled", "failed"])
def test_slow_body(
    server: LocalRudderStack, stored_instance: dg.DagsterInstance, canceled: bool
) -> None:
    """The step stops or leaves its running sync once, reports it once, and ends."""
    add(server, "short", script=SHORT)
    server.add_connection("long", script=SyncScript(never_ends=True), stop_delay_seconds=60)

    def interrupted(run_id: str) -> list[str]:
        lines = log_lines(stored_instance, run_id)
        return [line for line in lines if line.startswith(("Interrupted", "The run has already"))]

    def body(context: dg.AssetExecutionContext, sync: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        for event in sync():
            yield event
            if canceled:
                stored_instance.report_run_canceling(context.run)
            else:
                stored_instance.report_run_failed(context.run)
            give_up_at = time.monotonic() + 30
            while not interrupted(context.run.run_id) and time.monotonic() < give_up_at:
                time.sleep(0.1)

    step = group("short", "long", execute=body, checks=None)
    with contextlib.suppress(dg.DagsterExecutionInterruptedError):
        run([step], resource_of(server), stored_instance)

    (stored,) = stored_instance.get_runs()
    (line,) = interrupted(stored.run_id)
    observations = stored_instance.fetch_observations(dg.AssetKey("long"), limit=10).records
    if canceled:
        assert "asked to stop it" in line
        assert len(server.stops()) == len(observations) == 1
        assert stored.status is dg.DagsterRunStatus.CANCELED
    else:
        assert "is left running" in line
        assert (server.stops(), observations) == ([], [])
