"""What the tests of steps share: a resource that polls quickly, and functions that read a run."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import dagster as dg

from dagster_rudderstack import MetadataKey, RudderStackResource
from dagster_rudderstack.step.records import SyncRecord, read_records
from dagster_rudderstack.testing import LocalRudderStack

Result = dg.ExecuteInProcessResult | dg.JobExecutionResult


def resource_of(server: LocalRudderStack, **settings: object) -> RudderStackResource:
    """Return a resource that polls every 50 ms and times out after 2 minutes."""
    return RudderStackResource(
        **{  # type: ignore[arg-type]
            "access_token": server.access_token,
            "api_url": server.url,
            "poll_min_interval_seconds": 0.05,
            "poll_max_interval_seconds": 0.05,
            "sync_timeout_seconds": 120,
            **settings,
        }
    )


def run(
    assets: Sequence[dg.AssetsDefinition],
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    **options: object,
) -> dg.ExecuteInProcessResult:
    """Materialize assets, and return the result even if the run failed."""
    resources = {"rudderstack": rudderstack}
    return dg.materialize(
        assets,
        instance=instance,
        resources=resources,
        raise_on_error=False,
        **options,  # type: ignore[arg-type]
    )


def materialized(result: Result) -> list[str]:
    """Return the assets that a run materialized, in order."""
    return [
        event.materialization.asset_key.to_user_string()
        for event in result.get_asset_materialization_events()
    ]


def checks(result: Result) -> dict[str, bool]:
    """Return, for each asset whose check a run evaluated, whether the check passed."""
    return {
        each.asset_key.to_user_string(): each.passed
        for each in result.get_asset_check_evaluations()
    }


def sync_ids(result: Result) -> list[object]:
    """Return the ids of the syncs that a run reported."""
    return [
        event.materialization.metadata[MetadataKey.SYNC_ID].value
        for event in result.get_asset_materialization_events()
        if MetadataKey.SYNC_ID in event.materialization.metadata
    ]


def failure(result: Result) -> str:
    """Return the message of the only failed step of a run."""
    (event,) = (event for event in result.all_events if event.is_step_failure)
    data = event.step_failure_data.user_failure_data
    return (data.description or "") if data else str(event.step_failure_data.error)


def failure_metadata(result: Result) -> dict[str, dg.MetadataValue]:
    """Return the metadata of the only failed step of a run."""
    (event,) = (event for event in result.all_events if event.is_step_failure)
    data = event.step_failure_data.user_failure_data
    return dict(data.metadata) if data else {}


def log_lines(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """Return the lines in the log of a run that are not Dagster's events."""
    return [
        entry.user_message for entry in instance.all_logs(run_id) if entry.dagster_event is None
    ]


def records(instance: dg.DagsterInstance, run_id: str | None = None) -> list[SyncRecord]:
    """Return the records of one run, or of all runs, the oldest first."""
    run_ids = [run_id] if run_id else [run.run_id for run in reversed(instance.get_runs())]
    return [record for each in run_ids for record in read_records(instance, each)]


def record_kinds(instance: dg.DagsterInstance) -> list[str]:
    """Return the kinds of the records of all runs, the oldest first."""
    return [record.kind.value for record in records(instance)]


@contextmanager
def when(condition: Callable[[], bool], action: Callable[[], object]) -> Iterator[None]:
    """Do something, in another thread, as soon as a condition holds inside the block.

    Fails if the condition does not hold before the end of the block. If it reads a Dagster
    instance, use `stored_instance`: no thread can read an instance in memory while another writes.
    """
    is_block_over = threading.Event()
    held: list[bool] = []

    def wait_and_act() -> None:
        while not is_block_over.is_set():
            if condition():
                held.append(True)
                action()
                return
            is_block_over.wait(0.02)

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    try:
        yield
    finally:
        is_block_over.set()
        thread.join()
    assert held, "The condition never held"


def count(instance: dg.DagsterInstance, key: str) -> int:
    """Return how often an asset was materialized."""
    return len(instance.fetch_materializations(dg.AssetKey(key), limit=100).records)


def instance_in(folder: Path) -> AbstractContextManager[dg.DagsterInstance]:
    """Open an instance with the events of all runs in one database.

    Dagster's default makes a database for each run, which takes longer than a short run. The tests
    of the sensor and of processes use the default.
    """
    one_database = {
        "module": "dagster._core.storage.event_log",
        "class": "ConsolidatedSqliteEventLogStorage",
        "config": {"base_dir": str(folder)},
    }
    return dg.instance_for_test(temp_dir=str(folder), overrides={"event_log_storage": one_database})
