"""The next attempt takes up the sync of the one before, and no other run does."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import pytest

from dagster_rudderstack import (
    MetadataKey,
    RejectedRowsCheck,
    RudderStackResource,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_op,
    rudderstack_sync_op,
)
from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.definitions.conftest import resource_of
from dagster_rudderstack_tests.step.world import record_kinds

BRIEF = SyncScript(duration_seconds=0.3, rows_total=10)
RETRY = dg.RetryPolicy(max_retries=1)
OUTAGE = Fault("status", operation="get_sync", status=503)


def origins(result: dg.ExecuteInProcessResult | dg.JobExecutionResult) -> list[object]:
    """Return how the materialized syncs were come by."""
    return [
        event.materialization.metadata[MetadataKey.ORIGIN].value
        for event in result.get_asset_materialization_events()
        if MetadataKey.ORIGIN in event.materialization.metadata
    ]


@contextmanager
def no_patience(server: LocalRudderStack) -> Iterator[RudderStackResource]:
    """A resource that gives up on the first failing poll: an attempt that is lost at once."""
    yield resource_of(server, outage_tolerance_seconds=0)


def test_step_retry_resumes(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """A step retry attaches to the sync that the first try had lost sight of."""
    server.add_connection("crm", script=BRIEF)
    server.add_fault(OUTAGE)
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts", retry_policy=RETRY)

    with no_patience(server) as rudderstack:
        result = dg.materialize([asset], resources={"rudderstack": rudderstack}, instance=instance)

    assert result.success
    assert origins(result) == ["resumed"]
    assert len(server.starts("crm")) == 1
    assert record_kinds(instance) == ["starting", "waiting", "waiting"]


def test_step_retry_of_a_failed_sync_starts_anew(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A sync that failed is started anew by the step's retry."""
    server.add_connection("crm", script=BRIEF)
    server.script_next("crm", SyncScript(status="failed", error="no such table"))
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts", retry_policy=RETRY)

    result = dg.materialize([asset], resources={"rudderstack": rudderstack}, instance=instance)

    assert result.success
    assert origins(result) == ["started"]
    assert len(server.starts("crm")) == 2


def test_lost_start_is_adopted_by_the_retry(
    server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """A try that ends between the start and its answer leaves enough for the retry to find it."""
    server.add_connection("crm", script=BRIEF)
    server.add_fault(Fault("reset", operation="start", effect=True))
    server.add_fault(Fault("status", operation="list_syncs", status=503, skip=1))
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts", retry_policy=RETRY)

    with no_patience(server) as rudderstack:
        result = dg.materialize([asset], resources={"rudderstack": rudderstack}, instance=instance)

    assert result.success
    assert origins(result) == ["adopted"]
    assert len(server.starts("crm")) == 1


def test_a_later_run_is_not_a_retry(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A run that has nothing to do with the failed one waits for its sync and starts its own."""
    server.add_connection("crm", script=BRIEF)
    server.add_fault(OUTAGE)
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts")
    with no_patience(server) as impatient:
        dg.materialize(
            [asset], resources={"rudderstack": impatient}, instance=instance, raise_on_error=False
        )

    result = dg.materialize([asset], resources={"rudderstack": rudderstack}, instance=instance)

    assert origins(result) == ["started"]
    assert len(server.starts("crm")) == 2


@pytest.mark.parametrize("kind", ["bound op", "configured op"])
def test_op_retry_resumes(
    server: LocalRudderStack, instance: dg.DagsterInstance, kind: str
) -> None:
    """The ops resume too, without an asset of their own."""
    server.add_connection("crm", script=BRIEF)
    server.add_fault(OUTAGE)
    bound = build_rudderstack_sync_op(connection_id="crm", name="sync")
    op = (bound if kind == "bound op" else rudderstack_sync_op.alias("sync")).with_retry_policy(
        RETRY
    )
    config = {} if kind == "bound op" else {"ops": {"sync": {"config": {"connection_id": "crm"}}}}

    @dg.job(resource_defs={"rudderstack": resource_of(server, outage_tolerance_seconds=0)})
    def activate() -> None:
        op()

    result = activate.execute_in_process(run_config=config, instance=instance)

    assert result.output_for_node("sync").origin == "resumed"
    assert len(server.starts("crm")) == 1


def test_two_ops_on_one_connection_do_not_mix_up(
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


def test_mapped_ops_do_not_mix_up(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """Each step that a dynamic output makes resumes its own sync."""
    server.add_connection("crm", script=BRIEF, parallel_syncs=True)
    server.add_fault(OUTAGE)

    @dg.op(out=dg.DynamicOut())
    def numbers() -> Iterator[dg.DynamicOutput[int]]:
        yield from (dg.DynamicOutput(number, mapping_key=str(number)) for number in range(2))

    @dg.op(retry_policy=RETRY)
    def sync(_number: int, rudderstack: RudderStackResource) -> str:
        return rudderstack.sync_and_poll("crm").id

    @dg.job(resource_defs={"rudderstack": resource_of(server, outage_tolerance_seconds=0)})
    def activate() -> None:
        numbers().map(sync)

    result = activate.execute_in_process(instance=instance)

    assert len(set(result.output_for_node("sync").values())) == 2
    assert len(server.starts("crm")) == 2


def test_partitions_do_not_mix_up(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The record of one partition's sync is no other partition's."""
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


def test_a_step_does_not_resume_another(
    server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """A step whose run has lost the sync of another one, of the same connection, starts its own."""
    server.add_connection("crm", script=BRIEF)
    server.add_fault(OUTAGE)
    op = build_rudderstack_sync_op(connection_id="crm", name="sync")

    @dg.op(out=dg.Out(dg.Nothing))
    def loses_sight(rudderstack: RudderStackResource) -> None:
        with pytest.raises(dg.Failure):
            rudderstack.sync_and_poll("crm")

    @dg.job(resource_defs={"rudderstack": resource_of(server, outage_tolerance_seconds=0)})
    def activate() -> None:
        op(start_after=loses_sight())

    result = activate.execute_in_process(instance=instance)

    assert result.output_for_node("sync").origin == "started"
    assert len(server.starts("crm")) == 2


def test_a_result_that_could_not_be_stored_is_told_again(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """If the output of an op cannot be stored, a retry of the step stores it, without a sync."""
    server.add_connection("crm", script=BRIEF)
    troubles = [OSError("the disk is full")]

    class Storage(dg.IOManager):
        def handle_output(self, *_: object) -> None:
            if troubles:
                raise troubles.pop()

        def load_input(self, *_: object) -> None: ...

    op = build_rudderstack_sync_op(connection_id="crm", name="sync", retry_policy=RETRY)

    @dg.job(resource_defs={"rudderstack": rudderstack, "io_manager": Storage()})
    def activate() -> None:
        op()

    assert activate.execute_in_process(instance=instance).success
    assert len(server.starts("crm")) == 1


def test_a_body_that_fails_after_a_sync(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A retry of a step whose body failed between two syncs starts the second one only. Two syncs
    of one connection in one body are two."""
    for name in ("crm", "ads"):
        server.add_connection(name, script=BRIEF)
    troubles = [OSError("the disk is full")]

    @dg.asset(retry_policy=RETRY)
    def activation(rudderstack: RudderStackResource) -> None:
        rudderstack.sync_and_poll("crm")
        if troubles:
            raise troubles.pop()
        rudderstack.sync_and_poll("ads")
        rudderstack.sync_and_poll("ads")

    result = dg.materialize([activation], resources={"rudderstack": rudderstack}, instance=instance)

    assert result.success
    assert (len(server.starts("crm")), len(server.starts("ads"))) == (1, 2)


def test_a_body_of_the_users_own_resumes(
    server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """`sync_and_poll` in any asset resumes, without being handed the context."""
    server.add_connection("crm", script=BRIEF)
    server.add_fault(OUTAGE)

    @dg.asset(retry_policy=RETRY)
    def contacts(rudderstack: RudderStackResource) -> dg.MaterializeResult[None]:
        report = rudderstack.sync_and_poll("crm")
        return dg.MaterializeResult(metadata={MetadataKey.ORIGIN: report.origin})

    with no_patience(server) as rudderstack:
        result = dg.materialize(
            [contacts], resources={"rudderstack": rudderstack}, instance=instance
        )

    assert origins(result) == ["resumed"]
    assert len(server.starts("crm")) == 1


def test_two_syncs_in_one_body(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A body that syncs the same connection twice starts two syncs: the first one is closed."""
    server.add_connection("crm", script=BRIEF)

    @dg.asset
    def contacts(rudderstack: RudderStackResource) -> None:
        assert rudderstack.sync_and_poll("crm").id != rudderstack.sync_and_poll("crm").id

    dg.materialize([contacts], resources={"rudderstack": rudderstack}, instance=instance)

    assert len(server.starts("crm")) == 2
    assert record_kinds(instance) == ["starting", "waiting", "returned"] * 2


def test_reported_sync_is_not_reported_again(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A step that failed after its materialization (a blocking check) starts anew on retry."""
    server.add_connection("crm", script=SyncScript(rows_total=10))
    server.script_next("crm", SyncScript(rows_total=10, rows_failed=3))
    asset = build_rudderstack_sync_asset(
        connection_id="crm",
        spec="contacts",
        rejected_rows_check=RejectedRowsCheck(severity="ERROR", blocking=True),
        retry_policy=RETRY,
    )

    dg.materialize(
        [asset],
        resources={"rudderstack": rudderstack},
        instance=instance,
        raise_on_error=False,
    )

    syncs = server.syncs("crm")
    assert len(syncs) == len(server.starts("crm"))
    reported = [
        record.asset_materialization.metadata[MetadataKey.SYNC_ID].value
        for record in instance.fetch_materializations(dg.AssetKey("contacts"), limit=10).records
        if record.asset_materialization
    ]
    assert len(reported) == len(set(reported)) == len(syncs)


def reexecutable() -> dg.JobDefinition:
    """Return the job of the tests of re-execution; its server is told by variables."""

    @dg.asset
    def customers() -> None: ...

    asset = build_rudderstack_sync_asset(connection_id="crm", spec="contacts", deps=[customers])
    resource = RudderStackResource(
        access_token=dg.EnvVar("TEST_TOKEN"),
        api_url=dg.EnvVar("TEST_URL"),
        outage_tolerance_seconds=dg.EnvVar.int("TEST_TOLERANCE"),
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
    """Run the job, or run it again from a parent run."""
    options = dg.ReexecutionOptions(parent, step_selection=steps or []) if parent else None
    return dg.execute_job(
        dg.reconstructable(reexecutable),
        instance=instance,
        reexecution_options=options,
        run_config={"execution": {"config": {"in_process": {}}}},
    )


@pytest.fixture
def job_server(server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch) -> LocalRudderStack:
    """The server that `reexecutable` talks to."""
    monkeypatch.setenv("TEST_TOKEN", server.access_token)
    monkeypatch.setenv("TEST_URL", server.url)
    monkeypatch.setenv("TEST_TOLERANCE", "60")
    server.add_connection("crm", script=BRIEF)
    return server


def test_reexecution_from_failure_resumes(
    job_server: LocalRudderStack, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is re-executed from its failure reports the sync of the failed run."""
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
def test_reexecution_of_all_steps_starts_anew(
    job_server: LocalRudderStack,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
) -> None:
    """A sync, over or not, that began before this run rebuilt its tables may miss their rows."""
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


def test_reexecution_of_a_grandparent_resumes(
    job_server: LocalRudderStack, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sync is found through a chain of retries that themselves got nowhere."""
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


def test_reexecution_of_a_success_starts_anew(
    job_server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """Whoever runs a successful run again wants a new sync, not the old report."""
    with run_job(instance) as first:
        assert first.success

    with run_job(instance, parent=first.run_id, steps=["contacts"]) as again:
        assert origins(again) == ["started"]

    assert len(job_server.starts("crm")) == 2


def test_another_sync_type_is_another_sync(
    server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """A record of an incremental sync is not the full sync that is asked for now."""
    server.add_connection("crm", script=BRIEF)
    server.add_fault(OUTAGE)

    @dg.op(retry_policy=RETRY)
    def sync(context: dg.OpExecutionContext, rudderstack: RudderStackResource) -> str:
        kind = "full" if context.retry_number else "incremental"
        return rudderstack.sync_and_poll("crm", kind).origin

    @dg.job(resource_defs={"rudderstack": resource_of(server, outage_tolerance_seconds=0)})
    def activate() -> None:
        sync()

    result = activate.execute_in_process(instance=instance)

    assert result.output_for_node("sync") == "started"
    assert [sync.sync_type for sync in server.syncs("crm")] == ["incremental", "full"]


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
def test_records_do_not_make_downstreams_run(
    server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """What an attempt writes down is no update of the asset to automation conditions."""
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
