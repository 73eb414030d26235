"""Many connections in one step: all at once, each reported when it ends, each failing for
itself."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    InvalidSettingError,
    MetadataKey,
    RejectedRowsCheck,
    RudderStackResource,
    RudderStackSyncConfig,
    build_rudderstack_sync_assets,
)
from dagster_rudderstack.testing import Fault, LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.step.world import (
    checks,
    count,
    failure,
    failure_metadata,
    log_lines,
    materialized,
    resource_of,
    run,
    sync_ids,
    when,
)

BRIEF = SyncScript(duration_seconds=0.1, rows_total=10)
BROKEN = SyncScript(status="failed", error="no such table")
RETRY = dg.RetryPolicy(max_retries=1)


def group(*names: str, **options: object) -> dg.AssetsDefinition:
    """Return a step for connections, each with an asset of the same name."""
    return build_rudderstack_sync_assets(
        connections={name: name for name in names},
        name="activation",
        **options,  # type: ignore[arg-type]
    )


def add(server: LocalRudderStack, *names: str, script: SyncScript = BRIEF) -> None:
    for name in names:
        server.add_connection(name, script=script)


def starts(server: LocalRudderStack) -> dict[str, int]:
    """Return how often each connection was started."""
    counts: dict[str, int] = {}
    for request in server.starts():
        counts[request.connection_id or ""] = counts.get(request.connection_id or "", 0) + 1
    return counts


# --- the good case


def test_all_run_at_once(stored_instance: dg.DagsterInstance) -> None:
    """Twenty syncs, none of which ends before all have started, end in one step: each was started
    once, over a few kept-alive connections."""
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


def test_in_memory_there_is_one_thread(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """With Dagster's storage in memory, which threads cannot share, the step's own thread asks for
    all syncs, which run at once all the same."""
    names = [f"c{number}" for number in range(20)]
    add(server, *names, script=SyncScript(duration_seconds=1))

    result = run([group(*names)], rudderstack, instance)

    assert sorted(materialized(result)) == sorted(names)
    assert server.peak_concurrency == 1
    syncs = [sync for name in names for sync in server.syncs(name)]
    assert max(sync.started_at for sync in syncs) < min(sync.finished_at or 0 for sync in syncs)


def test_each_is_reported_when_it_ends(stored_instance: dg.DagsterInstance) -> None:
    """A quick sync is materialized while a slow one runs, which ends only after that."""
    instance = stored_instance
    clock = ManualClock()
    with LocalRudderStack(clock=clock) as server:
        add(server, "slow", script=SyncScript(duration_seconds=100))
        add(server, "quick", script=SyncScript(rows_total=5, rows_failed=1))
        with when(lambda: count(instance, "quick") == 1, lambda: clock.advance(100)):
            result = run([group("slow", "quick")], resource_of(server), instance)

    assert materialized(result) == ["quick", "slow"]
    assert checks(result) == {"quick": False, "slow": True}


def test_metadata_is_that_of_a_single_sync(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A materialization of a group carries the same facts as that of one connection's asset."""
    add(server, "crm", "ads")

    result = run([group("crm", "ads", sync_type="full")], rudderstack, instance)

    for event in result.get_asset_materialization_events():
        metadata = event.materialization.metadata
        name = event.materialization.asset_key.to_user_string()
        (sync,) = server.syncs(name)
        assert metadata[MetadataKey.SYNC_ID].value == sync.id
        assert metadata[MetadataKey.CONNECTION_ID].value == name
        assert metadata[MetadataKey.SYNC_TYPE].value == sync.sync_type == "full"
        assert metadata[MetadataKey.ORIGIN].value == "started"
        assert metadata[MetadataKey.ROWS_SUCCEEDED].value == 10


def test_run_config(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A run's sync type holds for all of its syncs."""
    add(server, "crm", "ads")
    config = dg.RunConfig(ops={"activation": RudderStackSyncConfig(sync_type="full")})

    run([group("crm", "ads")], rudderstack, instance, run_config=config)

    assert [sync.sync_type for sync in server.syncs()] == ["full", "full"]


def test_selection(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """Only what is selected is synced, and only selected checks are evaluated."""
    add(server, "crm", "ads", "mail")
    step = group("crm", "ads", "mail")
    ads_check = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("ads"), "rejected_rows"))

    some = run([step], rudderstack, instance, selection=["crm", "ads"])
    unchecked = run(
        [step], rudderstack, instance, selection=dg.AssetSelection.assets("crm").without_checks()
    )

    assert sorted(materialized(some)) == ["ads", "crm"]
    assert materialized(unchecked) == ["crm"]
    assert checks(unchecked) == {}
    assert starts(server) == {"crm": 2, "ads": 1}

    alone = run([step], rudderstack, instance, selection=ads_check)

    assert materialized(alone) == []
    assert checks(alone) == {"ads": True}
    assert starts(server) == {"crm": 2, "ads": 1}


def test_partitions(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A partitioned run materializes its partition of each asset."""
    add(server, "crm", "ads")
    days = dg.StaticPartitionsDefinition(["monday", "tuesday"])

    step = group("crm", "ads", partitions_def=days)
    result = run([step], rudderstack, instance, partition_key="monday")

    assert {e.materialization.partition for e in result.get_asset_materialization_events()} == {
        "monday"
    }


def test_direct_invocation(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """The step can be called in a test, with a context and no run."""
    add(server, "crm", "ads")

    with dg.build_asset_context(resources={"rudderstack": rudderstack}) as context:
        events: list[Any] = list(group("crm", "ads")(context))  # type: ignore[call-overload]

    for kind in (dg.MaterializeResult, dg.AssetCheckResult):
        keys = {event.asset_key for event in events if isinstance(event, kind)}
        assert keys == {dg.AssetKey("ads"), dg.AssetKey("crm")}


# --- failures


def test_failures_are_named_at_the_end(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The others stay materialized, and one failure names those that failed and why."""
    add(server, "a", "b", "c")
    add(server, "broken", script=BROKEN)
    server.add_connection("off", enabled=False)

    result = run([group("a", "broken", "b", "off", "gone", "c")], rudderstack, instance)

    assert not result.success
    assert sorted(materialized(result)) == ["a", "b", "c"]
    text = failure(result)
    assert text.startswith("3 of 6 syncs failed. The other 3 are not affected.\n")
    (sync,) = server.syncs("broken")
    assert f"- broken (connection broken): Sync {sync.id} of connection broken failed" in text
    assert "no such table" in text
    assert "- off (connection off): Connection off is disabled" in text
    assert "- gone (connection gone): RudderStack answered 404" in text
    table = failure_metadata(result)[MetadataKey.FAILED_SYNCS]
    assert isinstance(table, dg.TableMetadataValue)
    records = {record.data["asset"]: record.data for record in table.records}
    assert records.keys() == {"broken", "off", "gone"}
    assert records["broken"]["sync"] == sync.id
    assert records["broken"]["status"] == "failed"


def test_a_failure_is_on_the_page_of_its_asset(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The failed sync is an observation of its own asset, with reason and facts."""
    add(server, "good")
    add(server, "broken", script=BROKEN)

    run([group("good", "broken")], rudderstack, instance)

    (record,) = instance.fetch_observations(dg.AssetKey("broken"), limit=1).records
    assert record.asset_observation is not None
    assert "no such table" in (record.asset_observation.description or "")
    assert record.asset_observation.metadata[MetadataKey.STATUS].value == "failed"


def test_one_that_fails_reads_like_a_single_sync(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """If a single connection is selected, the failure is that of the sync, with its metadata."""
    add(server, "broken", script=BROKEN)
    add(server, "good")

    result = run([group("broken", "good")], rudderstack, instance, selection=["broken"])

    (sync,) = server.syncs("broken")
    assert failure(result).startswith(f"Sync {sync.id} of connection broken failed")
    assert failure_metadata(result)[MetadataKey.SYNC_ID].value == sync.id


def test_many_failures_fit_in_a_message(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """Of fifty failures all are named and the first thirty explained."""
    names = [f"c{number:03}" for number in range(50)]
    add(server, *names, script=BROKEN)

    result = run([group(*names)], rudderstack, instance)

    lines = failure(result).splitlines()
    assert lines[0] == "50 of 50 syncs failed."
    assert len(lines) == 32
    assert lines[-1].startswith("- and 20 more: c")
    assert all(name in failure(result) for name in names)


def test_disabled_connections_can_be_skipped(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A skipped connection is not materialized, and the others are."""
    add(server, "crm")
    server.add_connection("off", enabled=False)

    result = run([group("crm", "off", on_disabled="skip")], rudderstack, instance)

    assert result.success
    assert materialized(result) == ["crm"]


def test_a_blocking_check_fails_the_step(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A blocking check that fails holds back what is downstream of its asset."""
    add(server, "good")
    add(server, "bad", script=SyncScript(rows_total=5, rows_failed=5))
    check = RejectedRowsCheck(severity="ERROR", blocking=True)

    result = run([group("good", "bad", rejected_rows_check=check)], rudderstack, instance)

    assert not result.success
    assert sorted(materialized(result)) == ["bad", "good"]


# --- retries


def test_step_retry_runs_what_is_not_done(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A retry of the step starts the failed sync only; what is downstream of all then runs."""
    add(server, "a", "b", "c")
    server.script_next("b", BROKEN)
    ran: list[str] = []

    @dg.asset(deps=["a"])
    def after_a() -> None:
        ran.append("after_a")

    result = run([group("a", "b", "c", retry_policy=RETRY), after_a], rudderstack, instance)

    assert result.success
    assert starts(server) == {"a": 1, "b": 2, "c": 1}
    assert sorted(materialized(result)) == ["a", "after_a", "b", "c"]
    assert checks(result) == {"a": True, "b": True, "c": True}
    assert ran == ["after_a"]


def test_step_retry_does_not_forget_a_blocking_check(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A retry that another sync asked for tells again, without a sync or a materialization, that a
    blocking check has failed: what is downstream is held back."""
    add(server, "bad", script=SyncScript(rows_total=10, rows_failed=5))
    add(server, "b")
    server.script_next("b", BROKEN)
    ran: list[str] = []

    @dg.asset(deps=["bad"])
    def after_bad() -> None:
        ran.append("after_bad")

    check = RejectedRowsCheck(severity="ERROR", blocking=True)
    step = group("bad", "b", rejected_rows_check=check, retry_policy=RETRY)
    result = run([step, after_bad], rudderstack, instance)

    assert not result.success
    assert ran == []
    assert starts(server) == {"bad": 1, "b": 2}
    assert sorted(materialized(result)) == ["b", "bad"]
    assert checks(result) == {"b": True, "bad": False}


def test_step_retry_evaluates_the_check_that_was_cut_off(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """If a step ends between a materialization and its check, the retry evaluates the check."""
    add(server, "bad", script=SyncScript(rows_total=10, rows_failed=5))
    attempts: list[int] = []

    def cut_off(
        context: dg.AssetExecutionContext,
        _: RudderStackResource,
        sync: Callable[[], Iterator[Any]],
    ) -> Iterator[Any]:
        attempts.append(context.op_execution_context.retry_number)
        for event in sync():
            yield event
            if attempts == [0]:
                raise RuntimeError("The end of the worker.")

    check = RejectedRowsCheck(severity="ERROR", blocking=True)
    step = group("bad", rejected_rows_check=check, retry_policy=RETRY, execute=cut_off)
    result = run([step], rudderstack, instance)

    assert attempts == [0, 1]
    assert not result.success
    assert starts(server) == {"bad": 1}
    assert materialized(result) == ["bad"]
    assert checks(result) == {"bad": False}


def test_step_retry_resumes_what_runs(
    server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """A sync that the first try lost sight of is taken up by the second, not started again."""
    add(server, "a", "b", script=SyncScript(duration_seconds=1))
    server.add_fault(Fault("status", operation="get_sync", connection_id="b"))
    rudderstack = resource_of(server, outage_tolerance_seconds=0)

    result = run([group("a", "b", retry_policy=RETRY)], rudderstack, instance)

    assert result.success
    assert starts(server) == {"a": 1, "b": 1}
    origins = {
        event.materialization.asset_key.to_user_string(): event.materialization.metadata[
            MetadataKey.ORIGIN
        ].value
        for event in result.get_asset_materialization_events()
    }
    assert origins == {"a": "started", "b": "resumed"}


def test_what_a_retry_cannot_mend_is_not_tried_again(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The retry that one failure asks for does not start a sync that a person has stopped."""
    stopped = SyncScript(status="aborted", duration_seconds=0.1)
    add(server, "a")
    add(server, "stopped", script=stopped)
    server.script_next("a", BROKEN)

    result = run([group("a", "stopped", retry_policy=RETRY)], rudderstack, instance)

    assert not result.success
    assert starts(server) == {"a": 2, "stopped": 1}
    assert materialized(result) == ["a"]
    assert "was stopped" in failure(result)


def test_no_retry_if_it_can_mend_nothing(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """If no failure can be mended by a retry, the step's RetryPolicy is not asked."""
    add(server, "a")
    server.add_connection("off", enabled=False)

    result = run([group("a", "off", "gone", retry_policy=RETRY)], rudderstack, instance)

    assert not result.success
    assert [event for event in result.all_events if event.is_step_up_for_retry] == []
    assert starts(server) == {"a": 1}


# --- politeness and logs


def test_a_429_slows_all_down(instance: dg.DagsterInstance) -> None:
    """After a 429 to one sync, no other sync of the process asks until the wait is over."""
    names = [f"c{number}" for number in range(8)]
    with LocalRudderStack() as server:
        add(server, *names, script=SyncScript(duration_seconds=0.5))
        server.add_fault(Fault("status", operation="get_sync", status=429, retry_after=1, skip=10))

        result = run([group(*names)], resource_of(server), instance)

        requests = server.requests
    assert result.success
    (refused,) = (request for request in requests if request.status == 429)
    # Those that were under way when the answer came are not held back.
    after = [r for r in requests if 0.3 < r.monotonic - refused.monotonic < 0.9]
    assert after == []


def test_concurrency_is_settable(stored_instance: dg.DagsterInstance) -> None:
    """No more requests are under way at once than the resource admits, for all syncs together."""
    names = [f"c{number}" for number in range(10)]
    with LocalRudderStack(latency_seconds=0.02) as server:
        add(server, *names)

        run([group(*names)], resource_of(server, max_concurrent_requests=3), stored_instance)

        assert server.peak_concurrency == 3
        assert server.tcp_connections <= 3


def test_rate_is_settable(stored_instance: dg.DagsterInstance) -> None:
    """No more requests per second are sent than the resource admits, for all syncs together."""
    names = [f"c{number}" for number in range(10)]
    with LocalRudderStack() as server:
        add(server, *names)

        run([group(*names)], resource_of(server, max_requests_per_second=25), stored_instance)

        times = [request.monotonic for request in server.requests]
    assert len(times) >= 3 * len(names)
    # A bit less: what a request takes to arrive varies.
    assert times[-1] - times[0] > (len(times) - 1) / 25 - 0.2


def test_log(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """Each line says whose it is; at the end a table tells all, those that failed first."""
    add(server, "crm", script=SyncScript(duration_seconds=0.3, rows_total=1234, rows_failed=4))
    add(server, "ads", script=BROKEN)

    result = run([group("crm", "ads")], rudderstack, instance)

    lines = log_lines(instance, result.run_id)
    syncs = {sync.connection_id: sync.id for sync in server.syncs()}
    messages = [entry.message for entry in instance.all_logs(result.run_id)]
    assert f"Started sync {syncs['crm']} of connection crm." in messages
    told = [line for line in lines if line.startswith(f"crm: Sync {syncs['crm']}: ")]
    assert told[-1].startswith(
        f"crm: Sync {syncs['crm']}: succeeded (1,230 rows delivered, 4 rows rejected, 100 %"
    )
    table = lines[-1].splitlines()
    assert table[0] == "2 syncs are over: 1 failed, 1 succeeded."
    headings = ["asset", "connection", "sync", "status", "delivered", "rejected", "duration"]
    assert table[1].split() == headings
    assert table[2].split()[:4] == ["ads", "ads", syncs["ads"], "failed"]
    assert table[3].split()[:6] == ["crm", "crm", syncs["crm"], "succeeded", "1,230", "4"]


def test_a_setting_that_cannot_be_right_is_not_retried(
    server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """What the step finds out before it syncs fails it once."""
    add(server, "crm")
    step = group("crm", retry_policy=dg.RetryPolicy(max_retries=2))

    result = run([step], resource_of(server, ca_bundle="/no/such/file"), instance)

    assert "/no/such/file" in failure(result)
    assert not any(event.is_step_up_for_retry for event in result.all_events)
    assert server.requests == []


# --- re-execution


@dg.asset(deps=["a"])
def after_a() -> None:
    """Something downstream of one of the syncs."""


BLOCKING = RejectedRowsCheck(severity="ERROR", blocking=True)


def everything() -> dg.JobDefinition:
    """Return a job of three syncs and an asset downstream of one of them."""
    rudderstack = RudderStackResource(
        access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
        api_url=dg.EnvVar("RUDDERSTACK_API_URL"),
        poll_min_interval_seconds=0.05,
    )
    defs = dg.Definitions(
        assets=[group("a", "b", "c", rejected_rows_check=BLOCKING), after_a],
        jobs=[dg.define_asset_job("everything", executor_def=dg.in_process_executor)],
        resources={"rudderstack": rudderstack},
    )
    return defs.resolve_job_def("everything")


@pytest.fixture
def location(server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch) -> LocalRudderStack:
    """The server whose address the job finds in its environment."""
    monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
    monkeypatch.setenv("RUDDERSTACK_API_URL", server.url)
    add(server, "a", "b", "c")
    return server


def execute(
    instance: dg.DagsterInstance, again: dg.ReexecutionOptions | None = None, **tags: str
) -> dg.JobExecutionResult:
    with dg.execute_job(
        dg.reconstructable(everything),
        instance=instance,
        reexecution_options=again,
        tags={f"dagster/{name}": value for name, value in tags.items()},
    ) as result:
        return result


def test_reexecution_from_failure(
    location: LocalRudderStack, stored_instance: dg.DagsterInstance
) -> None:
    """A re-execution from failure syncs what is not done, reports again what is, so that what is
    downstream of it runs."""
    location.script_next("b", BROKEN)
    first = execute(stored_instance)
    again = dg.ReexecutionOptions.from_failure(first.run_id, stored_instance)

    second = execute(stored_instance, again)

    assert not first.success
    assert sorted(materialized(first)) == ["a", "c"]
    assert second.success
    assert starts(location) == {"a": 1, "b": 2, "c": 1}
    assert sorted(materialized(second)) == ["a", "after_a", "b", "c"]
    assert set(sync_ids(first)) < set(sync_ids(second))


def test_reexecution_of_a_reexecution(
    location: LocalRudderStack, stored_instance: dg.DagsterInstance
) -> None:
    """What was done by the first of three runs is not done by the third."""
    location.script_next("b", BROKEN, BROKEN)
    first = execute(stored_instance)
    # As the UI and the daemon make it: by tags, with all steps of the job.
    again = dg.ReexecutionOptions(parent_run_id=first.run_id)
    second = execute(stored_instance, again, is_resume_retry="true")
    third = execute(
        stored_instance,
        dg.ReexecutionOptions(parent_run_id=second.run_id),
        is_resume_retry="true",
    )

    assert not second.success
    assert third.success
    assert starts(location) == {"a": 1, "b": 3, "c": 1}


def test_reexecution_of_a_good_run(
    location: LocalRudderStack, stored_instance: dg.DagsterInstance
) -> None:
    """Who re-executes a run that succeeded gets all syncs again."""
    first = execute(stored_instance)

    second = execute(stored_instance, dg.ReexecutionOptions(parent_run_id=first.run_id))

    assert first.success
    assert second.success
    assert starts(location) == {"a": 2, "b": 2, "c": 2}


def test_reexecution_after_a_blocking_check(
    location: LocalRudderStack, stored_instance: dg.DagsterInstance
) -> None:
    """A sync whose blocking check failed is not done: a re-execution from failure syncs it
    again."""
    location.script_next("a", SyncScript(rows_total=3, rows_failed=1))
    first = execute(stored_instance)
    again = dg.ReexecutionOptions.from_failure(first.run_id, stored_instance)

    second = execute(stored_instance, again)

    assert not first.success
    assert second.success
    assert starts(location) == {"a": 2, "b": 1, "c": 1}


def test_an_unrelated_run_starts_anew(
    location: LocalRudderStack, stored_instance: dg.DagsterInstance
) -> None:
    """A later run takes up nothing of a failed one."""
    location.script_next("b", BROKEN)
    execute(stored_instance)

    assert execute(stored_instance).success
    assert starts(location) == {"a": 2, "b": 2, "c": 2}


# --- a body of the user's own


def test_execute(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A body of the user's own does as it likes around the syncs; a check alone calls nothing."""
    add(server, "crm", "ads")
    seen: list[object] = []

    def around(
        context: dg.AssetExecutionContext,
        resource: RudderStackResource,
        sync: Callable[[], Iterator[Any]],
    ) -> Iterator[Any]:
        seen.append(len(resource.list_syncs("crm")))
        yield from sync()
        seen.append(len(resource.list_syncs("crm")))
        context.log.info("All is done.")

    step = group("crm", "ads", execute=around)
    result = run([step], rudderstack, instance)
    check = dg.AssetCheckKey(dg.AssetKey("ads"), "rejected_rows")
    run([step], rudderstack, instance, selection=dg.AssetSelection.checks(check))

    assert sorted(materialized(result)) == ["ads", "crm"]
    assert seen == [0, 1]
    assert log_lines(instance, result.run_id)[-1] == "All is done."


# --- what cannot be right


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"connections": {}}, "connections is empty"),
        ({"connections": {"a": "x", "b": "x"}}, "'a' and 'b' with the asset key 'x'"),
        ({"connections": {"a": "x", " a": "y"}}, "connection 'a' twice"),
        ({"connections": {"a/b": "x"}}, "connection_id 'a/b' is not an id"),
        ({"connections": {"a": "x"}, "sync_type": "partial"}, "sync_type 'partial' is unknown"),
        ({"connections": {"a": "x"}, "on_disabled": "wait"}, "on_disabled 'wait' is unknown"),
        ({"connections": {"a": "x"}, "on_running_sync": "stop"}, "on_running_sync 'stop'"),
    ],
)
def test_bad_input(options: dict[str, object], message: str) -> None:
    """What cannot be right fails while definitions load, and the message names it."""
    with pytest.raises(InvalidSettingError) as caught:
        build_rudderstack_sync_assets(name="x", **options)  # type: ignore[arg-type]

    assert message in str(caught.value)


def test_specs_are_passed_through() -> None:
    """What a spec carries is kept; the connection is in its metadata."""
    spec = dg.AssetSpec("crm", group_name="activation", owners=["team:x"], deps=["customers"])

    step = build_rudderstack_sync_assets(connections={"c1": spec}, name="x", pool="p")

    (made,) = step.specs
    assert made.group_name == "activation"
    assert list(made.owners) == ["team:x"]
    assert [dep.asset_key.to_user_string() for dep in made.deps] == ["customers"]
    assert made.metadata[MetadataKey.CONNECTION_ID] == dg.MetadataValue.text("c1")
    assert made.kinds == {"rudderstack"}
