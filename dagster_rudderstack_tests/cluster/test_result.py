"""The rows of the table: what each case left behind, compared with what is wanted."""

from collections.abc import Iterator

import dagster as dg
import httpx
import pytest

from dagster_rudderstack import MetadataKey
from dagster_rudderstack.testing import LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.cluster.result import (
    CASE_TAG,
    Case,
    Row,
    are_over,
    is_to_be_retried,
    row_of,
    runs_of,
    table,
)

CASE = Case("case", "something breaks", {"crm": 1.0})
CANCELED = Case("case", "canceled", {"crm": 1.0}, end="CANCELED", stops=1)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance in memory."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def server() -> Iterator[LocalRudderStack]:
    """A server with one connection."""
    with LocalRudderStack(clock=ManualClock()) as made:
        made.add_connection("crm", script=SyncScript(duration_seconds=1))
        yield made


def start(server: LocalRudderStack) -> str:
    """Start a sync through the API, and return its id when it has ended."""
    headers = {"Authorization": f"Bearer {server.access_token}"}
    answer = httpx.post(
        f"{server.url}/v2/retl-connections/crm/start",
        headers=headers,
        json={"syncType": "incremental"},
    )
    assert answer.is_success, answer.text
    assert isinstance(server.clock, ManualClock)
    server.clock.advance(2)
    return server.syncs("crm")[-1].id


def report(instance: dg.DagsterInstance, *sync_ids: str, tags: dict[str, str] | None = None) -> str:
    """Run a step that materializes these syncs, or fails if there is none. Return its run."""

    @dg.op
    def step(context: dg.OpExecutionContext) -> None:
        if not sync_ids:
            raise dg.Failure("lost")
        for sync_id in sync_ids:
            metadata = {MetadataKey.SYNC_ID: sync_id}
            context.log_event(dg.AssetMaterialization("crm", metadata=metadata))

    @dg.job
    def job() -> None:
        step()

    run_tags = {CASE_TAG: CASE.name, **(tags or {})}
    return job.execute_in_process(instance=instance, tags=run_tags, raise_on_error=False).run_id


def found(row: Row) -> tuple[list[str], int, int, int]:
    """Return what a row shows, without the verdict."""
    return [*row.runs], row.starts, row.stops, row.materializations


def test_row(instance: dg.DagsterInstance, server: LocalRudderStack) -> None:
    """One start and one materialization of the same sync are as wanted."""
    report(instance, start(server))

    row = row_of(CASE, instance, server)

    assert found(row) == (["SUCCESS"], 1, 0, 1)
    assert row.problems == []
    assert row.cells[-1] == "yes"


def test_row__retried(instance: dg.DagsterInstance, server: LocalRudderStack) -> None:
    """A run may be retried, if the sync is neither started nor reported again."""
    failed = report(instance)
    report(instance, start(server), tags={"dagster/parent_run_id": failed})

    row = row_of(CASE, instance, server)

    assert found(row) == (["FAILURE", "SUCCESS"], 1, 0, 1)
    assert row.problems == []


def test_row__started_twice(instance: dg.DagsterInstance, server: LocalRudderStack) -> None:
    """A second start is not wanted."""
    start(server)
    report(instance, start(server))

    row = row_of(CASE, instance, server)

    assert row.problems == ["Connection crm has 2 starts, not 1."]
    assert row.cells[-1] == "NO"


def test_row__reported_twice(instance: dg.DagsterInstance, server: LocalRudderStack) -> None:
    """A second materialization of a sync is not wanted."""
    sync_id = start(server)
    report(instance, sync_id, sync_id)

    assert row_of(CASE, instance, server).problems == [
        "Connection crm has 2 materializations, not 1.",
        f"Sync {sync_id} of crm was materialized 2 times.",
    ]


def test_row__lost(instance: dg.DagsterInstance, server: LocalRudderStack) -> None:
    """A sync that no run reports is not wanted, nor is a run that fails."""
    start(server)
    report(instance)

    assert row_of(CASE, instance, server).problems == [
        "1 x SUCCESS (after retries) is wanted of the runs, not FAILURE.",
        "Connection crm has 0 materializations, not 1.",
    ]


def test_row__of_another_client(instance: dg.DagsterInstance, server: LocalRudderStack) -> None:
    """The materialization of another client's sync is not wanted."""
    start(server)
    other = server.start_sync("crm", "dashboard")
    report(instance, other)

    assert row_of(CASE, instance, server).problems == [
        f"Sync {other} of crm was materialized, and is another client's."
    ]


def test_row__canceled(instance: dg.DagsterInstance, server: LocalRudderStack) -> None:
    """A canceled run that failed instead, and left its sync running, is not as wanted."""
    start(server)
    report(instance)

    assert row_of(CANCELED, instance, server).problems == [
        "1 x CANCELED (and no retry) is wanted of the runs, not FAILURE.",
        "Connection crm has 0 stops, not 1.",
    ]


def test_row__error(instance: dg.DagsterInstance, server: LocalRudderStack) -> None:
    """A case that could not be played is not as wanted, even if all numbers are right."""
    report(instance, start(server))

    assert row_of(CASE, instance, server, ["Timed out"]).problems == ["Timed out"]


def test_are_over(instance: dg.DagsterInstance) -> None:
    """The runs of a case are over when each has ended, and a failed one has had its retry."""
    assert not are_over(CASE, runs_of(instance, CASE))

    failed = report(instance, tags={"dagster/will_retry": "true"})
    assert not are_over(CASE, runs_of(instance, CASE))

    report(instance, "sync", tags={"dagster/parent_run_id": failed})
    assert are_over(CASE, runs_of(instance, CASE))


def test_is_to_be_retried(instance: dg.DagsterInstance) -> None:
    """A failed run is to be retried if Dagster has promised that, and has not done it yet."""

    def is_missing(*sync_ids: str, **tags: str) -> bool:
        run_id = report(instance, *sync_ids, tags={f"dagster/{key}": tags[key] for key in tags})
        run = instance.get_run_by_id(run_id)
        assert run is not None
        return is_to_be_retried(run)

    assert is_missing(will_retry="true")
    assert not is_missing(will_retry="true", auto_retry_run_id="retry")
    assert not is_missing(will_retry="false")
    assert not is_missing("sync", will_retry="true")


def test_table() -> None:
    """The columns of the table are aligned."""
    row = Row(CASE, ["FAILURE", "SUCCESS"], 1, 0, 1, [])

    assert table([row]).splitlines() == [
        "case              runs ended        starts  stops  materializations  as wanted",
        "----------------  ----------------  ------  -----  ----------------  ---------",
        "something breaks  FAILURE, SUCCESS  1       0      1                 yes",
    ]
