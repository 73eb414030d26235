"""A step whose own code ends before its syncs, without an interrupt."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.step.group import SHORT, add, group
from dagster_rudderstack_tests.step.world import log_lines, resource_of, run


def test_error_of_the_code(server: LocalRudderStack, stored_instance: dg.DagsterInstance) -> None:
    """The log and the asset's page do not claim that an interrupt was the cause of the stop."""
    add(server, "short", script=SHORT)
    add(server, "long", script=SyncScript(never_ends=True))

    def body(
        sync: Callable[[], Iterator[Any]],
    ) -> Iterator[Any]:
        for event in sync():
            yield event
            raise ValueError("The code fails.")

    step = group("short", "long", execute=body, checks=None)
    result = run([step], resource_of(server, stop_on_termination="always"), stored_instance)

    (line,) = (
        line for line in log_lines(stored_instance, result.run_id) if "asked to stop it" in line
    )
    assert line.startswith("Interrupted, or ended early. Sync ")
    (record,) = stored_instance.fetch_observations(dg.AssetKey("long"), limit=10).records
    assert record.asset_observation is not None
    text = record.asset_observation.description or ""
    assert text.endswith("was stopped because its step was interrupted or ended early.")
