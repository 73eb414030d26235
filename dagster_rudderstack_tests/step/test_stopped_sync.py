"""What an asset's page says about a sync that its run stopped: a final state, with numbers."""

import contextlib
import os
import signal
from collections.abc import Mapping

import dagster as dg
import pytest

from dagster_rudderstack import MetadataKey, build_rudderstack_sync_asset
from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.step.world import record_kinds, resource_of, run, when

ASSET = build_rudderstack_sync_asset(connection_id="crm", spec="crm")


@pytest.fixture(autouse=True)
def connection(server: LocalRudderStack) -> None:
    server.add_connection("crm", script=SyncScript(never_ends=True))


def observed(instance: dg.DagsterInstance) -> Mapping[str, object]:
    """Return the metadata of the only observation of the asset."""
    (record,) = instance.fetch_observations(dg.AssetKey("crm"), limit=10).records
    assert record.asset_observation is not None
    return {key: value.value for key, value in record.asset_observation.metadata.items()}


def cancel(instance: dg.DagsterInstance) -> None:
    (dagster_run,) = instance.get_runs()
    instance.report_run_canceling(dagster_run)
    os.kill(os.getpid(), signal.SIGINT)


def has_numbers(metadata: Mapping[str, object]) -> bool:
    """Return whether every number is there that a plot of the asset joins to its neighbors."""
    keys = (MetadataKey.ROWS_SUCCEEDED, MetadataKey.ROW_COUNT, MetadataKey.DURATION)
    return all(isinstance(metadata.get(key), (int, float)) for key in keys)


@pytest.mark.parametrize("poll_seconds", [0.05, 20.0], ids=["polled", "stopped before a poll"])
def test_canceled_run(
    server: LocalRudderStack, stored_instance: dg.DagsterInstance, poll_seconds: float
) -> None:
    """A canceled run reports its sync as stopped, with the rows and the duration so far."""
    resource = resource_of(
        server, poll_min_interval_seconds=poll_seconds, poll_max_interval_seconds=poll_seconds
    )
    is_waiting = lambda: "waiting" in record_kinds(stored_instance)  # noqa: E731
    with (
        when(is_waiting, lambda: cancel(stored_instance)),
        contextlib.suppress(dg.DagsterExecutionInterruptedError, KeyboardInterrupt),
    ):
        run([ASSET], resource, stored_instance)

    metadata = observed(stored_instance)
    assert metadata[MetadataKey.STATUS] == "stopped"
    assert has_numbers(metadata)


def test_timeout(server: LocalRudderStack, stored_instance: dg.DagsterInstance) -> None:
    """A sync that was stopped at its timeout is reported with the rows and the duration so far."""
    run([ASSET], resource_of(server, sync_timeout_seconds=1), stored_instance)

    metadata = observed(stored_instance)
    assert metadata[MetadataKey.STATUS] == "stopped"
    assert metadata[MetadataKey.DURATION] == pytest.approx(1, abs=5)
    assert has_numbers(metadata)
