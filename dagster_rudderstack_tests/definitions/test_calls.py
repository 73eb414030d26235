"""What a function may choose when it calls `sync`, and what it may do with the results."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    InvalidSettingError,
    MetadataKey,
    RudderStackResource,
    RudderStackSyncs,
    SyncChecks,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
)
from dagster_rudderstack.testing import LocalRudderStack, SyncScript
from dagster_rudderstack_tests.sensor.world import World
from dagster_rudderstack_tests.step.group import FAILING, add, group, starts
from dagster_rudderstack_tests.step.world import checks, failure, log_lines, materialized, run

REJECTING = SyncScript(duration_seconds=0.1, rows_total=10, rows_failed=1)


def crm(body: Any, **options: Any) -> dg.AssetsDefinition:
    return build_rudderstack_sync_asset(connection_id="crm", spec="crm", execute=body, **options)


# --- options


@pytest.mark.parametrize(
    ("option", "call", "config", "expected"),
    [
        ("incremental", None, None, "incremental"),
        ("incremental", "full", None, "full"),
        ("full", "incremental", None, "incremental"),
        ("incremental", "full", "incremental", "incremental"),
        ("full", None, "incremental", "incremental"),
    ],
)
def test_sync_type(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    option: str,
    call: Any,
    config: str | None,
    expected: str,
) -> None:
    """The config of the run decides, then the call, then the definition."""
    add(server, "crm")

    def body(sync: RudderStackSyncs) -> Any:
        return sync(sync_type=call)

    result = run(
        [crm(body, sync_type=option)],
        rudderstack,
        instance,
        run_config={"ops": {"crm": {"config": {"sync_type": config}}}} if config else None,
    )

    assert result.success
    assert [sync.sync_type for sync in server.syncs("crm")] == [expected]


def test_timeout(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A call may have a timeout of its own, which also stops the sync."""
    add(server, "crm", script=SyncScript(duration_seconds=3600))

    def body(sync: RudderStackSyncs) -> Any:
        return sync(timeout_seconds=1)

    result = run([crm(body)], rudderstack, instance)

    assert "did not end within the timeout of 1 s" in failure(result)
    assert len(server.stops()) == 1


def test_running_sync(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A call may choose what to do when a sync is already running."""
    add(server, "crm", script=SyncScript(never_ends=True))
    server.start_sync("crm")

    def body(sync: RudderStackSyncs) -> Any:
        return sync(on_running_sync="fail")

    result = run([crm(body)], rudderstack, instance)

    assert "already running" in failure(result)
    assert server.starts("crm") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sync_type": "mirror"}, "sync_type 'mirror'"),
        ({"on_running_sync": "stop"}, "on_running_sync 'stop' is unknown"),
        ({"timeout_seconds": 0}, "timeout_seconds 0: expected a whole number of seconds from 1"),
        ({"timeout_seconds": "60"}, "timeout_seconds '60'"),
        ({"poll_interval_seconds": 0}, "poll_interval_seconds 0: expected a number of seconds"),
        ({"poll_interval_seconds": True}, "poll_interval_seconds True"),
        ({"poll_interval_seconds": float("nan")}, "poll_interval_seconds nan"),
        ({"connections": ["crm", "hubspot"]}, "no connection 'hubspot'. It has 'crm'."),
        ({"connections": "hubspot"}, "no connection 'hubspot'"),
        ({"connections": [None]}, "no connection None"),
    ],
    ids=str,
)
def test_invalid(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    arguments: dict[str, Any],
    message: str,
) -> None:
    """An invalid argument fails the step at the call, before a sync is started."""
    add(server, "crm")
    caught: list[InvalidSettingError] = []

    def body(sync: RudderStackSyncs) -> Any:
        try:
            return sync(**arguments)
        except InvalidSettingError as error:
            caught.append(error)
            raise

    result = run([crm(body)], rudderstack, instance)

    assert not result.success
    assert message in str(caught[0])
    assert server.starts() == []


def test_subset(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A function may sync some of the connections, in calls with options of their own."""
    add(server, "a", "b", "c", "d")

    def body(sync: RudderStackSyncs) -> Iterator[Any]:
        yield from sync("a", sync_type="full")
        yield from sync(["b", "d"])

    selection = ["a", "b", "c"]
    result = run(
        [group("a", "b", "c", "d", execute=body)], rudderstack, instance, selection=selection
    )

    assert result.success
    assert sorted(materialized(result)) == ["a", "b"]
    assert {name: server.syncs(name)[0].sync_type for name in starts(server)} == {
        "a": "full",
        "b": "incremental",
    }


def test_connections(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A function can look up the selected connections and their assets."""
    add(server, "a", "b")
    seen = []

    def body(sync: RudderStackSyncs) -> Any:
        seen.append(dict(sync.connections))
        return sync(list(sync.connections))

    result = run([group("a", "b", execute=body)], rudderstack, instance, selection=["b"])

    assert materialized(result) == ["b"]
    assert seen == [{"b": dg.AssetKey("b")}]


def test_second_call(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A connection whose result was yielded is not synced again, also not with another type."""
    add(server, "crm")

    def body(sync: RudderStackSyncs) -> Iterator[Any]:
        yield from sync()
        yield from sync(sync_type="full")

    result = run([crm(body)], rudderstack, instance)

    assert materialized(result) == ["crm"]
    assert len(server.starts("crm")) == 1


def test_second_call__made_before_the_first_is_read(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The same holds if both calls are made before the results of the first one are read."""
    add(server, "crm")

    def body(sync: RudderStackSyncs) -> Iterator[Any]:
        first, second = sync(), sync(sync_type="full")
        yield from first
        yield from second

    result = run([crm(body)], rudderstack, instance)

    assert materialized(result) == ["crm"]
    assert len(server.starts("crm")) == 1


# --- results


def with_cost(sync: RudderStackSyncs) -> Iterator[Any]:
    """Yield a materialization of one's own for each sync, and nothing else."""
    for result in sync():
        if isinstance(result, dg.MaterializeResult):
            assert result.asset_key
            report = sync.reports[result.asset_key]
            yield dg.MaterializeResult(
                asset_key=result.asset_key,
                metadata={"cost": (report.rows_succeeded or 0) * 0.5},
                tags={"by": report.connection_id},
            )


@pytest.mark.parametrize("many", [False, True], ids=["one connection", "group"])
def test_own_materialization(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    many: bool,
) -> None:
    """A materialization of the function's own has the metadata of the sync beside its own."""
    add(server, "crm", script=REJECTING)
    asset = group("crm", execute=with_cost) if many else crm(with_cost)

    result = run([asset], rudderstack, instance)

    (event,) = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert metadata["cost"].value == 4.5
    assert metadata[MetadataKey.SYNC_ID].value == server.syncs("crm")[0].id
    assert metadata[MetadataKey.ROWS_FAILED].value == 1
    assert event.materialization.tags is not None
    assert event.materialization.tags["by"] == "crm"


def test_own_materialization__own_value_wins(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The function may change a number, but not which sync the materialization is about."""
    add(server, "crm")

    def body(sync: RudderStackSyncs) -> Iterator[Any]:
        list(sync())
        yield dg.MaterializeResult(
            metadata={MetadataKey.ROWS_TOTAL: 7, MetadataKey.SYNC_ID: "another"}
        )

    (event,) = run([crm(body)], rudderstack, instance).get_asset_materialization_events()

    assert event.materialization.metadata[MetadataKey.ROWS_TOTAL].value == 7
    sync_id = event.materialization.metadata[MetadataKey.SYNC_ID].value
    assert sync_id == server.syncs("crm")[0].id


def test_own_materialization__sensor(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The polling sensor does not report a sync again that the function reported in its own way."""
    add(server, "crm")
    asset = crm(with_cost)
    sensor = build_rudderstack_polling_sensor(assets=[asset])
    scene = World(instance, rudderstack, [asset], sensor)
    scene.tick()

    run([asset], rudderstack, instance)

    assert scene.tick().asset_events == []


def test_checks_are_added(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A check whose result the function does not yield is evaluated all the same."""
    add(server, "crm", script=REJECTING)

    result = run([crm(with_cost)], rudderstack, instance)

    assert checks(result) == {"crm": False}


def test_checks_are_added__none(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """Without checks, nothing is added."""
    add(server, "crm")

    result = run([crm(with_cost, checks=SyncChecks(rejected_rows=None))], rudderstack, instance)

    assert result.success
    assert result.get_asset_check_evaluations() == []


def activate() -> dg.JobDefinition:
    """Return a job of two syncs whose materializations are the function's own."""
    rudderstack = RudderStackResource(
        access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
        api_url=dg.EnvVar("RUDDERSTACK_API_URL"),
        poll_min_interval_seconds=0.05,
    )
    defs = dg.Definitions(
        assets=[group("a", "b", execute=with_cost)],
        jobs=[dg.define_asset_job("activate", executor_def=dg.in_process_executor)],
        resources={"rudderstack": rudderstack},
    )
    return defs.resolve_job_def("activate")


def test_reexecution(
    server: LocalRudderStack, stored_instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A re-execution reports the sync of the first run again, and the function has its report."""
    monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
    monkeypatch.setenv("RUDDERSTACK_API_URL", server.url)
    add(server, "a", "b")
    server.script_next("b", FAILING)
    with dg.execute_job(dg.reconstructable(activate), instance=stored_instance) as first:
        again = dg.ReexecutionOptions.from_failure(first.run_id, stored_instance)

    with dg.execute_job(
        dg.reconstructable(activate), instance=stored_instance, reexecution_options=again
    ) as second:
        events = second.get_asset_materialization_events()

    assert (first.success, second.success) == (False, True)
    assert starts(server) == {"a": 1, "b": 2}
    assert {
        event.materialization.asset_key.to_user_string(): event.materialization.metadata[
            "cost"
        ].value
        for event in events
    } == {"a": 5.0, "b": 5.0}


def test_left_out(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The log names the selected assets that the function has not synced."""
    add(server, "a", "b")

    def body(sync: RudderStackSyncs) -> Any:
        return sync("a")

    result = run([group("a", "b", execute=body)], rudderstack, instance)

    assert result.success
    lines = log_lines(instance, result.run_id)
    assert any("has not synced" in line and "b" in line.rpartition("synced")[2] for line in lines)
