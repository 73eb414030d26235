"""A later attempt resumes the sync of an earlier one. Other runs and steps do not."""

from collections.abc import Iterator

import dagster as dg
import pytest

from dagster_rudderstack import (
    MetadataKey,
    RejectedRowsCheck,
    RudderStackMetadataSet,
    RudderStackResource,
    SyncChecks,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_op,
    rudderstack_sync_op,
)
from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.step.world import record_kinds, resource_of

BRIEF = SyncScript(duration_seconds=0.3, rows_total=10)
RETRY = dg.RetryPolicy(max_retries=1)
OUTAGE = Fault("status", operation="get_sync", status=503)


@pytest.fixture
def instance(stored_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """An instance with storage, from which a later attempt reads what an earlier one wrote."""
    return stored_instance


def origins(result: dg.ExecuteInProcessResult | dg.JobExecutionResult) -> list[object]:
    """Return the origins of the materialized syncs."""
    return [
        RudderStackMetadataSet.extract(event.materialization.metadata).origin
        for event in result.get_asset_materialization_events()
        if "rudderstack/details" in event.materialization.metadata
    ]


def without_tolerance(server: LocalRudderStack) -> RudderStackResource:
    """Return a resource that fails the step on the first failing poll."""
    return resource_of(server, outage_tolerance_seconds=0)


def test_step_retry__running_sync(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """A step retry resumes the sync that the first attempt could no longer poll."""
    server.add_connection("crm", script=BRIEF)
    server.add_fault(OUTAGE)
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts", retry_policy=RETRY)

    result = dg.materialize(
        [asset], resources={"rudderstack": without_tolerance(server)}, instance=instance
    )

    assert result.success
    assert origins(result) == ["resumed"]
    assert len(server.starts("crm")) == 1
    assert record_kinds(instance) == ["starting", "waiting", "waiting"]


def test_step_retry__failed_sync(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """If the sync has failed, the step retry starts a new one."""
    server.add_connection("crm", script=BRIEF)
    server.script_next("crm", SyncScript(status="failed", error="no such table"))
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts", retry_policy=RETRY)

    result = dg.materialize([asset], resources={"rudderstack": rudderstack}, instance=instance)

    assert result.success
    assert origins(result) == ["started"]
    assert len(server.starts("crm")) == 2


def test_step_retry__lost_start(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """A step retry adopts the sync of an attempt that got no answer to its start."""
    server.add_connection("crm", script=BRIEF)
    server.add_fault(Fault("reset", operation="start", effect=True))
    server.add_fault(Fault("status", operation="list_syncs", status=503, skip=1))
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts", retry_policy=RETRY)

    result = dg.materialize(
        [asset], resources={"rudderstack": without_tolerance(server)}, instance=instance
    )

    assert result.success
    assert origins(result) == ["adopted"]
    assert len(server.starts("crm")) == 1


def test_later_run(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A run that does not retry a failed run waits for its sync, then starts a new one."""
    server.add_connection("crm", script=BRIEF)
    server.add_fault(OUTAGE)
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts")
    dg.materialize(
        [asset],
        resources={"rudderstack": without_tolerance(server)},
        instance=instance,
        raise_on_error=False,
    )

    result = dg.materialize([asset], resources={"rudderstack": rudderstack}, instance=instance)

    assert origins(result) == ["started"]
    assert len(server.starts("crm")) == 2


@pytest.mark.parametrize("kind", ["bound op", "configured op"])
def test_step_retry__op(server: LocalRudderStack, instance: dg.DagsterInstance, kind: str) -> None:
    """An op without an asset resumes its sync too."""
    server.add_connection("crm", script=BRIEF)
    server.add_fault(OUTAGE)
    bound = build_rudderstack_sync_op(connection_id="crm", name="sync")
    op = (bound if kind == "bound op" else rudderstack_sync_op.alias("sync")).with_retry_policy(
        RETRY
    )
    config = {} if kind == "bound op" else {"ops": {"sync": {"config": {"connection_id": "crm"}}}}

    @dg.job(resource_defs={"rudderstack": without_tolerance(server)})
    def activate() -> None:
        op()

    result = activate.execute_in_process(run_config=config, instance=instance)

    assert result.output_for_node("sync").origin == "resumed"
    assert len(server.starts("crm")) == 1


def test_same_connection__two_ops(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """Two steps of one run that sync the same connection start one sync each."""
    server.add_connection("crm", script=BRIEF)
    op = build_rudderstack_sync_op(connection_id="crm", name="sync")

    @dg.job(resource_defs={"rudderstack": rudderstack})
    def activate() -> None:
        op.alias("second")(start_after=op.alias("first")())

    result = activate.execute_in_process(instance=instance)

    first, second = result.output_for_node("first"), result.output_for_node("second")
    assert (first.origin, second.origin) == ("started", "started")
    assert first.id != second.id


def test_same_connection__mapped_ops(
    server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """Each step of a dynamic output resumes its own sync."""
    server.add_connection("crm", script=BRIEF, parallel_syncs=True)
    server.add_fault(OUTAGE)

    @dg.op(out=dg.DynamicOut())
    def numbers() -> Iterator[dg.DynamicOutput[int]]:
        yield from (dg.DynamicOutput(number, mapping_key=str(number)) for number in range(2))

    @dg.op(retry_policy=RETRY)
    def sync(_number: int, rudderstack: RudderStackResource) -> str:
        return rudderstack.sync_and_poll("crm").id

    @dg.job(resource_defs={"rudderstack": without_tolerance(server)})
    def activate() -> None:
        numbers().map(sync)

    result = activate.execute_in_process(instance=instance)

    assert len(set(result.output_for_node("sync").values())) == 2
    assert len(server.starts("crm")) == 2


def test_same_connection__two_partitions(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The run of a partition does not resume the sync of another partition."""
    server.add_connection("crm", script=BRIEF)
    partitions = dg.StaticPartitionsDefinition(["a", "b"])
    asset = build_rudderstack_sync_asset(
        connection_id="crm", spec=dg.AssetSpec("contacts", partitions_def=partitions)
    )

    ids = []
    for partition in ("a", "b"):
        result = dg.materialize(
            [asset],
            resources={"rudderstack": rudderstack},
            instance=instance,
            partition_key=partition,
        )
        (event,) = result.get_asset_materialization_events()
        assert event.partition == partition
        ids.append(event.materialization.metadata[MetadataKey.SYNC_ID].value)

    assert len(set(ids)) == len(server.starts("crm")) == 2


def test_same_connection__sync_of_another_step(
    server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """A step does not resume a sync that another step has given up, but starts a new one."""
    server.add_connection("crm", script=BRIEF)
    server.add_fault(OUTAGE)
    op = build_rudderstack_sync_op(connection_id="crm", name="sync")

    @dg.op(out=dg.Out(dg.Nothing))
    def gives_up(rudderstack: RudderStackResource) -> None:
        with pytest.raises(dg.Failure):
            rudderstack.sync_and_poll("crm")

    @dg.job(resource_defs={"rudderstack": without_tolerance(server)})
    def activate() -> None:
        op(start_after=gives_up())

    result = activate.execute_in_process(instance=instance)

    assert result.output_for_node("sync").origin == "started"
    assert len(server.starts("crm")) == 2


def test_step_retry__output_not_stored(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """If the output of an op cannot be stored, the step retry stores it without another sync."""
    server.add_connection("crm", script=BRIEF)
    errors = [OSError("the disk is full")]

    class Storage(dg.IOManager):
        def handle_output(self, *_: object) -> None:
            if errors:
                raise errors.pop()

        def load_input(self, *_: object) -> None: ...

    op = build_rudderstack_sync_op(connection_id="crm", name="sync", retry_policy=RETRY)

    @dg.job(resource_defs={"rudderstack": rudderstack, "io_manager": Storage()})
    def activate() -> None:
        op()

    assert activate.execute_in_process(instance=instance).success
    assert len(server.starts("crm")) == 1


def test_custom_body__fails_between_syncs(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """If a body fails between its syncs, the step retry starts only the later ones, even two of one
    connection."""
    for name in ("crm", "ads"):
        server.add_connection(name, script=BRIEF)
    errors = [OSError("the disk is full")]

    @dg.asset(retry_policy=RETRY)
    def activation(rudderstack: RudderStackResource) -> None:
        rudderstack.sync_and_poll("crm")
        if errors:
            raise errors.pop()
        rudderstack.sync_and_poll("ads")
        rudderstack.sync_and_poll("ads")

    result = dg.materialize([activation], resources={"rudderstack": rudderstack}, instance=instance)

    assert result.success
    assert (len(server.starts("crm")), len(server.starts("ads"))) == (1, 2)


def test_custom_body__resumes(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """`sync_and_poll` resumes in any asset, and needs no context for it."""
    server.add_connection("crm", script=BRIEF)
    server.add_fault(OUTAGE)

    @dg.asset(retry_policy=RETRY)
    def contacts(rudderstack: RudderStackResource) -> dg.MaterializeResult[None]:
        report = rudderstack.sync_and_poll("crm")
        return dg.MaterializeResult(metadata={"rudderstack/details": {"origin": report.origin}})

    result = dg.materialize(
        [contacts], resources={"rudderstack": without_tolerance(server)}, instance=instance
    )

    assert origins(result) == ["resumed"]
    assert len(server.starts("crm")) == 1


def test_custom_body__same_connection_twice(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A body that syncs one connection twice starts two syncs: a record says that the first one was
    returned."""
    server.add_connection("crm", script=BRIEF)

    @dg.asset
    def contacts(rudderstack: RudderStackResource) -> None:
        assert rudderstack.sync_and_poll("crm").id != rudderstack.sync_and_poll("crm").id

    dg.materialize([contacts], resources={"rudderstack": rudderstack}, instance=instance)

    assert len(server.starts("crm")) == 2
    assert record_kinds(instance) == ["starting", "waiting", "returned"] * 2


def test_step_retry__failed_blocking_check(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """Dagster does not retry a step whose blocking check has failed: its sync is reported once."""
    server.add_connection("crm", script=SyncScript(rows_total=10))
    server.script_next("crm", SyncScript(rows_total=10, rows_failed=3))
    asset = build_rudderstack_sync_asset(
        connection_id="crm",
        spec="contacts",
        checks=SyncChecks(rejected_rows=RejectedRowsCheck(severity="ERROR", blocking=True)),
        retry_policy=RETRY,
    )

    dg.materialize(
        [asset],
        resources={"rudderstack": rudderstack},
        instance=instance,
        raise_on_error=False,
    )

    (sync,) = server.syncs("crm")
    assert len(server.starts("crm")) == 1
    reported = [
        record.asset_materialization.metadata[MetadataKey.SYNC_ID].value
        for record in instance.fetch_materializations(dg.AssetKey("contacts"), limit=10).records
        if record.asset_materialization
    ]
    assert reported == [sync.id]


def reexecutable() -> dg.JobDefinition:
    """Return the job of the re-execution tests. Environment variables name its server."""

    @dg.asset
    def customers() -> None: ...

    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts", deps=[customers])
    resource = RudderStackResource(
        access_token=dg.EnvVar("TEST_TOKEN"),
        api_url=dg.EnvVar("TEST_URL"),
        outage_tolerance_seconds=dg.EnvVar.int("TEST_TOLERANCE"),
        start_settling_seconds=1,
        poll_min_interval_seconds=0.05,
        poll_max_interval_seconds=0.05,
    )
    definitions = dg.Definitions(
        [customers, asset],
        jobs=[dg.define_asset_job("activate", [customers.key, asset.key])],
        resources={"rudderstack": resource},
    )
    return definitions.resolve_job_def("activate")


def run_job(
    instance: dg.DagsterInstance, parent: str | None = None, steps: list[str] | None = None
) -> dg.JobExecutionResult:
    """Run the job, or re-execute a parent run."""
    options = dg.ReexecutionOptions(parent, step_selection=steps or []) if parent else None
    return dg.execute_job(
        dg.reconstructable(reexecutable),
        instance=instance,
        reexecution_options=options,
        run_config={"execution": {"config": {"in_process": {}}}},
    )


@pytest.fixture
def job_server(server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch) -> LocalRudderStack:
    """The server of the job `reexecutable`."""
    monkeypatch.setenv("TEST_TOKEN", server.access_token)
    monkeypatch.setenv("TEST_URL", server.url)
    monkeypatch.setenv("TEST_TOLERANCE", "60")
    server.add_connection("crm", script=BRIEF)
    return server


def test_reexecution__from_failure(
    job_server: LocalRudderStack, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A re-execution from failure resumes the sync of the failed run."""
    monkeypatch.setenv("TEST_TOLERANCE", "0")
    job_server.add_fault(OUTAGE)
    with run_job(instance) as failed:
        assert not failed.success
    monkeypatch.setenv("TEST_TOLERANCE", "60")

    with run_job(instance, parent=failed.run_id, steps=["contacts"]) as again:
        assert again.success
        assert origins(again) == ["resumed"]

    assert len(job_server.starts("crm")) == 1


@pytest.mark.parametrize("seconds", [0.3, 2.0])
def test_reexecution__all_steps(
    job_server: LocalRudderStack,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
) -> None:
    """A re-execution of all steps starts a new sync after the earlier one, which began before the
    tables were rebuilt and may miss rows."""
    job_server.set_script("crm", SyncScript(duration_seconds=seconds))
    monkeypatch.setenv("TEST_TOLERANCE", "0")
    job_server.add_fault(OUTAGE)
    with run_job(instance) as failed:
        assert not failed.success
    monkeypatch.setenv("TEST_TOLERANCE", "60")

    with run_job(instance, parent=failed.run_id) as again:
        assert origins(again) == ["started"]

    first, second = job_server.syncs("crm")
    assert second.started_at >= (first.finished_at or float("inf"))


def test_reexecution__chain_of_failures(
    job_server: LocalRudderStack, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A re-execution resumes the sync of the first run through a chain of failed re-executions."""
    monkeypatch.setenv("TEST_TOLERANCE", "0")
    job_server.set_script("crm", SyncScript(duration_seconds=2))
    parent: str | None = None
    job_server.add_fault(Fault("status", operation="get_sync", status=503, times=3))
    for _ in range(3):
        with run_job(instance, parent=parent, steps=["contacts"] if parent else None) as failed:
            assert not failed.success
            parent = failed.run_id
    monkeypatch.setenv("TEST_TOLERANCE", "60")

    with run_job(instance, parent=parent, steps=["contacts"]) as again:
        assert origins(again) == ["resumed"]

    assert len(job_server.starts("crm")) == 1


def test_reexecution__sync_of_another_run(
    job_server: LocalRudderStack, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a start whose answer was lost and that had no effect, a re-execution does not adopt a
    sync that another run has started in the meantime."""
    monkeypatch.setenv("TEST_TOLERANCE", "0")
    job_server.set_script("crm", BRIEF)
    job_server.add_fault(Fault("reset", operation="start"))
    job_server.add_fault(Fault("status", operation="list_syncs", status=503, skip=1))
    with run_job(instance) as failed:
        assert not failed.success
    assert job_server.syncs("crm") == []
    monkeypatch.setenv("TEST_TOLERANCE", "60")
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts")
    resources = {"rudderstack": resource_of(job_server)}
    assert origins(dg.materialize([asset], instance=instance, resources=resources)) == ["started"]

    with run_job(instance, parent=failed.run_id, steps=["contacts"]) as again:
        assert origins(again) == ["started"]

    assert len(job_server.syncs("crm")) == 2


def test_reexecution__successful_run(
    job_server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """A re-execution of a successful run starts a new sync."""
    with run_job(instance) as first:
        assert first.success

    with run_job(instance, parent=first.run_id, steps=["contacts"]) as again:
        assert origins(again) == ["started"]

    assert len(job_server.starts("crm")) == 2


def test_step_retry__other_sync_type(
    server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """A step retry that asks for a full sync does not resume an incremental one."""
    server.add_connection("crm", script=BRIEF)
    server.add_fault(OUTAGE)

    @dg.op(retry_policy=RETRY)
    def sync(context: dg.OpExecutionContext, rudderstack: RudderStackResource) -> str:
        kind = "full" if context.retry_number else "incremental"
        return rudderstack.sync_and_poll("crm", kind).origin

    @dg.job(resource_defs={"rudderstack": without_tolerance(server)})
    def activate() -> None:
        sync()

    result = activate.execute_in_process(instance=instance)

    assert result.output_for_node("sync") == "started"
    assert [sync.sync_type for sync in server.syncs("crm")] == ["incremental", "full"]


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
def test_records__automation_conditions(
    server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """For automation conditions, the records of an attempt are not an update of the asset."""
    server.add_connection("crm", script=SyncScript(status="failed"))
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts")

    @dg.asset(deps=["contacts"], automation_condition=dg.AutomationCondition.any_deps_updated())
    def report() -> None: ...

    definitions = dg.Definitions([asset, report], resources={"rudderstack": resource_of(server)})
    before = dg.evaluate_automation_conditions(definitions, instance=instance)
    dg.materialize(
        [asset],
        resources={"rudderstack": resource_of(server)},
        instance=instance,
        raise_on_error=False,
    )

    after = dg.evaluate_automation_conditions(definitions, instance=instance, cursor=before.cursor)

    assert record_kinds(instance) == ["starting", "waiting"]
    assert after.total_requested == 0
