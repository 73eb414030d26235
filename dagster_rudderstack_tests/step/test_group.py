"""Many connections in one step: all sync at once, and each is reported by itself."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    InvalidSettingError,
    MetadataKey,
    RejectedRowsCheck,
    RudderStackMetadataSet,
    RudderStackResource,
    RudderStackSyncConfig,
    SyncChecks,
    build_rudderstack_sync_assets,
)
from dagster_rudderstack.testing import Fault, LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.step.group import FAILING, add, group, starts
from dagster_rudderstack_tests.step.world import (
    checks,
    count,
    failure,
    failure_metadata,
    log_lines,
    materialized,
    resource_of,
    run,
    when,
)

# --- successful syncs


def test_step__syncs_at_once(stored_instance: dg.DagsterInstance) -> None:
    """A step runs 20 syncs at once, starts each of them once, and opens at most 16 network
    connections."""
    names = [f"c{number}" for number in range(20)]
    clock = ManualClock()
    with LocalRudderStack(clock=clock) as server:
        add(server, *names, script=SyncScript(duration_seconds=100, rows_total=10))
        with when(lambda: len(server.starts()) == len(names), lambda: clock.advance(100)):
            result = run([group(*names)], resource_of(server), stored_instance)

        assert result.success
        assert sorted(materialized(result)) == sorted(names)
        assert checks(result) == dict.fromkeys(names, True)
        assert starts(server) == dict.fromkeys(names, 1)
        assert server.tcp_connections <= 16
        assert server.peak_concurrency <= 16


def test_step__one_thread_in_memory(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """If Dagster's storage is in memory, which threads cannot share, one thread makes all requests,
    and the syncs still run at once."""
    names = [f"c{number}" for number in range(20)]
    # So long that a busy machine starts all of them meanwhile.
    add(server, *names, script=SyncScript(duration_seconds=5))

    result = run([group(*names)], rudderstack, instance)

    assert sorted(materialized(result)) == sorted(names)
    assert server.peak_concurrency == 1
    syncs = [sync for name in names for sync in server.syncs(name)]
    assert max(sync.started_at for sync in syncs) < min(sync.finished_at or 0 for sync in syncs)


def test_step__reports_each_sync_when_it_ends(stored_instance: dg.DagsterInstance) -> None:
    """A quick sync is materialized while a slow one is still running."""
    instance = stored_instance
    clock = ManualClock()
    with LocalRudderStack(clock=clock) as server:
        add(server, "slow", script=SyncScript(duration_seconds=100))
        add(server, "quick", script=SyncScript(rows_total=5, rows_failed=1))
        with when(lambda: count(instance, "quick") == 1, lambda: clock.advance(100)):
            result = run([group("slow", "quick")], resource_of(server), instance)

    assert materialized(result) == ["quick", "slow"]
    assert checks(result) == {"quick": False, "slow": True}


def test_metadata(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """Each materialization of a group has the metadata of its own sync."""
    add(server, "crm", "ads")

    result = run([group("crm", "ads", sync_type="full")], rudderstack, instance)

    for event in result.get_asset_materialization_events():
        metadata = event.materialization.metadata
        name = event.materialization.asset_key.to_user_string()
        (sync,) = server.syncs(name)
        assert metadata[MetadataKey.SYNC_ID].value == sync.id
        assert metadata[MetadataKey.CONNECTION_ID].value == name
        assert RudderStackMetadataSet.extract(metadata).sync_type == sync.sync_type == "full"
        assert RudderStackMetadataSet.extract(metadata).origin == "started"
        assert metadata[MetadataKey.ROWS_SUCCEEDED].value == 10


def test_run_config(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The sync type in the run config is that of all syncs of the run."""
    add(server, "crm", "ads")
    config = dg.RunConfig(ops={"activation": RudderStackSyncConfig(sync_type="full")})

    run([group("crm", "ads")], rudderstack, instance, run_config=config)

    assert [sync.sync_type for sync in server.syncs()] == ["full", "full"]


def test_selection(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """Only selected assets are synced, and only selected checks are evaluated."""
    add(server, "crm", "ads", "mail")
    step = group("crm", "ads", "mail")
    ads_check = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("ads"), "rejected_rows"))

    two_assets = run([step], rudderstack, instance, selection=["crm", "ads"])
    without_checks = run(
        [step], rudderstack, instance, selection=dg.AssetSelection.assets("crm").without_checks()
    )

    assert sorted(materialized(two_assets)) == ["ads", "crm"]
    assert materialized(without_checks) == ["crm"]
    assert checks(without_checks) == {}
    assert starts(server) == {"crm": 2, "ads": 1}

    only_check = run([step], rudderstack, instance, selection=ads_check)

    assert materialized(only_check) == []
    assert checks(only_check) == {"ads": True}
    assert starts(server) == {"crm": 2, "ads": 1}


def test_partitions(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A run of a partition materializes that partition of each asset."""
    add(server, "crm", "ads")
    days = dg.StaticPartitionsDefinition(["monday", "tuesday"])

    step = group("crm", "ads", partitions_def=days)
    result = run([step], rudderstack, instance, partition_key="monday")

    assert {e.materialization.partition for e in result.get_asset_materialization_events()} == {
        "monday"
    }


def test_direct_invocation(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A user's test can call the step with a context, without a run."""
    add(server, "crm", "ads")

    with dg.build_asset_context(resources={"rudderstack": rudderstack}) as context:
        events: list[Any] = list(group("crm", "ads")(context))  # type: ignore[call-overload]

    for kind in (dg.MaterializeResult, dg.AssetCheckResult):
        keys = {event.asset_key for event in events if isinstance(event, kind)}
        assert keys == {dg.AssetKey("ads"), dg.AssetKey("crm")}


# --- failures


def test_failures__message_and_table(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The failure of the step names each failed sync with its reason. The other syncs are
    materialized."""
    add(server, "a", "b", "c")
    add(server, "failing", script=FAILING)
    server.add_connection("off", enabled=False)

    result = run([group("a", "failing", "b", "off", "gone", "c")], rudderstack, instance)

    assert not result.success
    assert sorted(materialized(result)) == ["a", "b", "c"]
    text = failure(result)
    assert text.startswith("3 of 6 syncs failed. The other 3 syncs are not affected.\n")
    (sync,) = server.syncs("failing")
    assert f"- failing (connection failing): Sync {sync.id} of connection failing failed" in text
    assert "no such table" in text
    assert "- off (connection off): Connection off is disabled" in text
    assert "- gone (connection gone): RudderStack answered 404" in text
    table = failure_metadata(result)[MetadataKey.FAILED_SYNCS]
    assert isinstance(table, dg.TableMetadataValue)
    records = {record.data["asset"]: record.data for record in table.records}
    assert records.keys() == {"failing", "off", "gone"}
    assert records["failing"]["sync"] == sync.id
    assert records["failing"]["status"] == "failed"


def test_failures__observation(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A failed sync is an observation of its asset, with RudderStack's reason and the status."""
    add(server, "good")
    add(server, "failing", script=FAILING)

    run([group("good", "failing")], rudderstack, instance)

    (record,) = instance.fetch_observations(dg.AssetKey("failing"), limit=1).records
    assert record.asset_observation is not None
    assert "no such table" in (record.asset_observation.description or "")
    assert record.asset_observation.metadata[MetadataKey.STATUS].value == "failed"


def test_failures__one_selected(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """If one connection is selected, the failure of the step is that of its sync, with its
    metadata."""
    add(server, "failing", script=FAILING)
    add(server, "good")

    result = run([group("failing", "good")], rudderstack, instance, selection=["failing"])

    (sync,) = server.syncs("failing")
    assert failure(result).startswith(f"Sync {sync.id} of connection failing failed")
    assert failure_metadata(result)[MetadataKey.SYNC_ID].value == sync.id


def test_failures__fifty(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The message names all 50 failed syncs, and gives the reason of the first 30."""
    names = [f"c{number:03}" for number in range(50)]
    add(server, *names, script=FAILING)

    result = run([group(*names)], rudderstack, instance)

    lines = failure(result).splitlines()
    assert lines[0] == "50 of 50 syncs failed."
    assert len(lines) == 32
    assert lines[-1].startswith("- and 20 more: c")
    assert all(name in failure(result) for name in names)


def test_disabled_connection__skipped(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """With `on_disabled="skip"`, a disabled connection is not materialized, and the step
    succeeds."""
    add(server, "crm")
    server.add_connection("off", enabled=False)

    result = run([group("crm", "off", on_disabled="skip")], rudderstack, instance)

    assert result.success
    assert materialized(result) == ["crm"]


def test_blocking_check__fails_the_step(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A blocking check that fails also fails the step, after all syncs are materialized."""
    add(server, "good")
    add(server, "bad", script=SyncScript(rows_total=5, rows_failed=5))
    checks = SyncChecks(rejected_rows=RejectedRowsCheck(severity="ERROR", blocking=True))

    result = run([group("good", "bad", checks=checks)], rudderstack, instance)

    assert not result.success
    assert sorted(materialized(result)) == ["bad", "good"]


# --- limits of requests, and logs


def test_rate_limit__pauses_all_syncs(instance: dg.DagsterInstance) -> None:
    """After a 429 to one sync, no sync of the process sends a request until the pause is over."""
    names = [f"c{number}" for number in range(8)]
    with LocalRudderStack() as server:
        add(server, *names, script=SyncScript(duration_seconds=0.5))
        # The fourth poll: there are at least 8, however slow the machine is.
        server.add_fault(Fault("status", operation="get_sync", status=429, retry_after=1, skip=3))

        result = run([group(*names)], resource_of(server), instance)

        requests = server.requests
    assert result.success
    (refused,) = (request for request in requests if request.status == 429)
    # Requests that were already sent when the 429 came do not count.
    after = [r for r in requests if 0.3 < r.monotonic - refused.monotonic < 0.9]
    assert after == []


def test_max_concurrent_requests(stored_instance: dg.DagsterInstance) -> None:
    """All syncs together make at most `max_concurrent_requests` requests at once."""
    names = [f"c{number}" for number in range(10)]
    with LocalRudderStack(latency_seconds=0.02) as server:
        add(server, *names)

        run([group(*names)], resource_of(server, max_concurrent_requests=3), stored_instance)

        assert 1 < server.peak_concurrency <= 3
        assert server.tcp_connections <= 3


def test_max_requests_per_second(stored_instance: dg.DagsterInstance) -> None:
    """All syncs together send at most `max_requests_per_second` requests per second."""
    names = [f"c{number}" for number in range(10)]
    with LocalRudderStack() as server:
        add(server, *names)

        run([group(*names)], resource_of(server, max_requests_per_second=25), stored_instance)

        times = [request.monotonic for request in server.requests]
    assert len(times) >= 3 * len(names)
    # A bit less, since the time that a request takes to arrive varies.
    assert times[-1] - times[0] > (len(times) - 1) / 25 - 0.2


def test_log(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A line about a failed sync names its asset. The last one is a table, failed syncs first."""
    add(server, "crm", script=SyncScript(duration_seconds=0.3, rows_total=1234, rows_failed=4))
    add(server, "ads", script=FAILING)

    result = run([group("crm", "ads")], rudderstack, instance)

    lines = log_lines(instance, result.run_id)
    syncs = {sync.connection_id: sync.id for sync in server.syncs()}
    messages = [entry.message for entry in instance.all_logs(result.run_id)]
    assert f"Started sync {syncs['crm']} of connection crm (incremental)." in messages
    *of_one, table_text = lines
    assert [line for line in of_one if line.startswith("crm: Sync")] == []
    (of_ads,) = (line for line in of_one if line.startswith("ads: "))
    assert of_ads.startswith(f"ads: Sync {syncs['ads']}: failed (")
    table = table_text.splitlines()
    assert table[0] == "2 syncs have ended: 1 failed, 1 succeeded."
    headings = ["asset", "connection", "sync", "status", "delivered", "rejected", "duration"]
    assert table[1].split() == headings
    assert table[2].split()[:4] == ["ads", "ads", syncs["ads"], "failed"]
    assert table[3].split()[:6] == ["crm", "crm", syncs["crm"], "succeeded", "1,230", "4"]


def test_invalid_setting(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """An invalid setting of the resource fails the step without a request and without a retry."""
    add(server, "crm")
    step = group("crm", retry_policy=dg.RetryPolicy(max_retries=2))

    result = run([step], resource_of(server, ca_bundle="/no/such/file"), instance)

    assert "/no/such/file" in failure(result)
    assert not any(event.is_step_up_for_retry for event in result.all_events)
    assert server.requests == []


# --- the user's own code


def test_execute(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The user's `execute` function runs code around the syncs. It is not called for a check
    alone."""
    add(server, "crm", "ads")
    seen: list[object] = []

    def around(
        context: dg.AssetExecutionContext,
        rudderstack: RudderStackResource,
        sync: Callable[[], Iterator[Any]],
    ) -> Iterator[Any]:
        seen.append(len(rudderstack.list_syncs("crm")))
        yield from sync()
        seen.append(len(rudderstack.list_syncs("crm")))
        context.log.info("All is done.")

    step = group("crm", "ads", execute=around)
    result = run([step], rudderstack, instance)
    check = dg.AssetCheckKey(dg.AssetKey("ads"), "rejected_rows")
    run([step], rudderstack, instance, selection=dg.AssetSelection.checks(check))

    assert sorted(materialized(result)) == ["ads", "crm"]
    assert seen == [0, 1]
    assert log_lines(instance, result.run_id)[-1] == "All is done."


# --- definitions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"connections": {}}, "connections is empty"),
        ({"connections": {"a": "x", "b": "x"}}, "'a' and 'b' the same asset key 'x'"),
        ({"connections": {"a": "x", " a": "y"}}, "connection 'a' twice"),
        ({"connections": {"a/b": "x"}}, "connection_id 'a/b' is not an id"),
        ({"connections": {"a": "x"}, "sync_type": "partial"}, "sync_type 'partial' is unknown"),
        ({"connections": {"a": "x"}, "on_disabled": "wait"}, "on_disabled 'wait' is unknown"),
        ({"connections": {"a": "x"}, "on_running_sync": "stop"}, "on_running_sync 'stop'"),
    ],
    ids=[
        "no_connections",
        "asset_key_twice",
        "connection_twice",
        "connection_id",
        "sync_type",
        "on_disabled",
        "on_running_sync",
    ],
)
def test_invalid_options(options: dict[str, object], message: str) -> None:
    """An invalid option fails while definitions load, and the message names it."""
    with pytest.raises(InvalidSettingError) as caught:
        build_rudderstack_sync_assets(name="x", **options)  # type: ignore[arg-type]

    assert message in str(caught.value)


def test_specs() -> None:
    """The attributes of a spec are kept, and its metadata gets the connection id."""
    spec = dg.AssetSpec("crm", group_name="activation", owners=["team:x"], deps=["customers"])

    step = build_rudderstack_sync_assets(connections={"c1": spec}, name="x", pool="p")

    (made,) = step.specs
    assert made.group_name == "activation"
    assert list(made.owners) == ["team:x"]
    assert [dep.asset_key.to_user_string() for dep in made.deps] == ["customers"]
    assert made.metadata[MetadataKey.CONNECTION_ID] == dg.MetadataValue.text("c1")
    assert made.kinds == {"rudderstack"}
