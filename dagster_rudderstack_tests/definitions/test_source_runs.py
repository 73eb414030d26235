"""The assets of Profiles projects and ETL sources: their options, and what a run reports."""

from collections.abc import Callable
from datetime import datetime, timezone
from types import ModuleType
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    InvalidSettingError,
    RudderStackMetadataSet,
    RudderStackProfilesConfig,
    RudderStackResource,
    RudderStackSourceConfig,
    build_rudderstack_profiles_asset,
    build_rudderstack_source_asset,
)
from dagster_rudderstack.testing import LocalRudderStack, RunScript
from dagster_rudderstack_tests.definitions.source_runs import bodies, run_ids
from dagster_rudderstack_tests.step.world import failure, failure_metadata, materialized, run

Build = Callable[..., dg.AssetsDefinition]
BUILDERS: list[Build] = [build_rudderstack_profiles_asset, build_rudderstack_source_asset]
DAILY = dg.DailyPartitionsDefinition("2026-01-01")
MIXED = dg.MultiPartitionsDefinition({"day": DAILY, "region": dg.StaticPartitionsDefinition(["a"])})
FAILED = RunScript(error='relation "users" does not exist')


def features(**options: Any) -> dg.AssetsDefinition:
    """Return a project that builds two assets."""
    return build_rudderstack_profiles_asset(
        source_id="project", specs=["users", "accounts"], **options
    )


# --- definitions


@pytest.mark.parametrize("build", BUILDERS)
def test_options(build: Build) -> None:
    """The assets have all fields of their specs, and the step has all options of a step."""
    spec = dg.AssetSpec("users", deps=["raw"], group_name="features", kinds={"snowflake"})

    asset = build(
        source_id=" project ",
        specs=[spec, ["crm", "accounts"]],
        deps=["orders"],
        retry_policy=dg.RetryPolicy(max_retries=2),
        pool="rudderstack",
        op_tags={"team": "crm"},
    )

    by_key = {key.to_user_string(): spec for key, spec in asset.specs_by_key.items()}
    assert set(by_key) == {"users", "crm/accounts"}
    users = by_key["users"]
    assert {dep.asset_key.to_user_string() for dep in users.deps} == {"raw", "orders"}
    assert (users.group_name, users.kinds) == ("features", {"rudderstack", "snowflake"})
    assert {RudderStackMetadataSet.extract(each.metadata).source_id for each in asset.specs} == {
        "project"
    }
    assert (asset.op.name, asset.op.pool) == ("rudderstack_project", "rudderstack")
    assert asset.op.tags["team"] == "crm"
    assert asset.op.retry_policy == dg.RetryPolicy(max_retries=2)


@pytest.mark.parametrize("build", BUILDERS)
def test_default_key(build: Build) -> None:
    """Without specs, there is one asset, and its key is `rudderstack` and the source id."""
    asset = build(source_id="project")

    assert (asset.key, asset.op.name) == (
        dg.AssetKey(["rudderstack", "project"]),
        "rudderstack__project",
    )


def test_definition__parameters() -> None:
    """The page of an asset shows the parameters of the definition before the first run."""
    asset = features(model_refs=["models/users"], begin_time="2026-01-31T00:00:00Z")

    found = {RudderStackMetadataSet.extract(each.metadata).parameters for each in asset.specs}
    assert found == {"--model_refs models/users --begin_time 2026-01-31T00:00:00Z"}


def test_deps__unusual_names() -> None:
    """Upstream keys may have characters that Dagster refuses in the name of an input."""
    asset = features(deps=[["raw", "my-table.v2"]])

    assert {dep.asset_key for spec in asset.specs for dep in spec.deps} == {
        dg.AssetKey(["raw", "my-table.v2"])
    }


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source_id": "a/b"}, "source_id 'a/b'"),
        ({"specs": "users"}, "specs 'users': expected a list of assets"),
        ({"specs": dg.AssetSpec("users")}, "expected a list of assets"),
        ({"specs": []}, "specs is empty"),
        ({"specs": ["users", dg.AssetKey("users")]}, "specs contains 'users' twice"),
        ({"on_running_run": "attach"}, "on_running_run 'attach'"),
        ({"on_lost_start": "retry"}, "on_lost_start 'retry'"),
        ({"timeout_seconds": 0}, "timeout_seconds 0"),
        ({"poll_interval_seconds": "1"}, "poll_interval_seconds '1'"),
        ({"timeout": 5}, "Use timeout_seconds."),
        ({"group_name": "x"}, "it belongs to the asset's spec"),
    ],
    ids=str,
)
def test_bad_input(build: Build, options: dict[str, Any], message: str) -> None:
    """A wrong option is an error when the assets are built, and the message names it."""
    with pytest.raises(InvalidSettingError) as caught:
        build(**{"source_id": "project", **options})

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_refs": "models/users"}, "model_refs 'models/users'"),
        ({"begin_time": "yesterday"}, "begin_time 'yesterday'"),
        ({"rebase_incremental": "yes"}, "rebase_incremental 'yes'"),
        (
            {"begin_time": "2026-02-01T00:00:00Z", "end_time": "2026-01-01T00:00:00Z"},
            "must be before end_time",
        ),
        (
            {"partitions_def": dg.StaticPartitionsDefinition(["a"])},
            "partitions_def is a StaticPartitionsDefinition: expected time partitions",
        ),
        ({"partitions_def": MIXED}, "partitions_def is a MultiPartitionsDefinition"),
        (
            {"partitions_def": DAILY, "begin_time": "2026-01-31T00:00:00Z"},
            "cannot be used with partitions",
        ),
        (
            {
                "specs": [dg.AssetSpec("x", partitions_def=DAILY)],
                "end_time": "2026-01-31T00:00:00Z",
            },
            "cannot be used with partitions",
        ),
    ],
    ids=str,
)
def test_bad_input__profiles(options: dict[str, Any], message: str) -> None:
    """A wrong parameter of a Profiles project is an error when the assets are built."""
    with pytest.raises(InvalidSettingError) as caught:
        build_rudderstack_profiles_asset(**{"source_id": "project", **options})

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_refs": ["x"]}, "There is no setting 'model_refs'."),
        ({"partitions_def": DAILY}, "takes no time window"),
        ({"specs": [dg.AssetSpec("x", partitions_def=DAILY)]}, "'x' has partitions, but a run"),
    ],
    ids=str,
)
def test_bad_input__etl(options: dict[str, Any], message: str) -> None:
    """An ETL source has no parameters of Profiles, and its assets have no partitions."""
    with pytest.raises(InvalidSettingError) as caught:
        build_rudderstack_source_asset(**{"source_id": "project", **options})

    assert message in str(caught.value)


# --- runs


def test_profiles(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """One run builds all assets, and each materialization has what RudderStack says of the run."""
    server.add_project("project")
    columns = dg.TableSchema(columns=[dg.TableColumn("main_id", "text")])
    spec = dg.AssetSpec("users", metadata={"dagster/column_schema": columns})
    asset = build_rudderstack_profiles_asset(
        source_id="project", specs=[spec, "accounts"], model_refs=["models/users"]
    )

    result = dg.materialize([asset], resources={"rudderstack": rudderstack})

    users, accounts = (
        event.materialization.metadata for event in result.get_asset_materialization_events()
    )
    found = RudderStackMetadataSet.extract(users)
    assert (found.source_id, found.status, found.origin) == ("project", "finished", "started")
    assert found.parameters == "--model_refs models/users"
    assert found.tasks
    assert found.tasks[0]["status"] == "finished"
    assert found.finished_at is not None
    assert users["dagster/column_schema"].value == columns
    assert RudderStackMetadataSet.extract(accounts) == found
    assert bodies(server) == [{"parameters": ["--model_refs models/users"]}]


def test_etl(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """One run loads all tables of an ETL source. Its start has no body."""
    server.add_project("stripe")
    asset = build_rudderstack_source_asset(
        source_id="stripe", specs=[["stripe", "customers"], ["stripe", "charges"]]
    )

    result = dg.materialize([asset], resources={"rudderstack": rudderstack})

    assert materialized(result) == ["stripe/customers", "stripe/charges"]
    assert len(set(run_ids(result).values())) == 1
    assert bodies(server) == [None]


@pytest.mark.parametrize("build", BUILDERS)
def test_finished_with_an_error(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    build: Build,
) -> None:
    """A finished run with an error fails the step, which materializes nothing."""
    server.add_project("project", FAILED)

    result = run([build(source_id="project", specs=["a", "b"])], rudderstack, instance)

    assert not result.success
    assert 'relation "users" does not exist' in failure(result)
    assert failure_metadata(result)["rudderstack/source_id"].value == "project"
    assert materialized(result) == []
    for key in ("a", "b"):
        (observed,) = instance.fetch_observations(dg.AssetKey(key), limit=10).records
        assert observed.asset_observation
        error = RudderStackMetadataSet.extract(observed.asset_observation.metadata).error
        assert error == 'relation "users" does not exist'


def test_downstream(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """An asset that is downstream of one output runs after it in the same Dagster run."""
    server.add_project("project")

    @dg.asset(deps=["accounts"])
    def audience() -> None: ...

    result = run([audience, features()], rudderstack, instance)

    assert materialized(result) == ["users", "accounts", "audience"]


def test_subset(rudderstack: RudderStackResource) -> None:
    """Dagster refuses a job with only a part of the assets that one run builds."""
    definitions = dg.Definitions(
        assets=[features()],
        jobs=[dg.define_asset_job("part", ["users"])],
        resources={"rudderstack": rudderstack},
    )

    with pytest.raises(dg.DagsterInvalidDefinitionError):
        definitions.resolve_job_def("part")


def test_automation_condition(
    rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """If the condition of one asset holds, one run is requested for all assets of the project."""
    condition = dg.AutomationCondition.missing()
    asset = build_rudderstack_profiles_asset(
        source_id="project",
        specs=[dg.AssetSpec("users", automation_condition=condition), "accounts"],
    )

    requested = dg.evaluate_automation_conditions(
        dg.Definitions(assets=[asset], resources={"rudderstack": rudderstack}),
        instance,
        # The default is all assets, with a warning that a parameter of that is beta.
        asset_selection=dg.AssetSelection.assets("users"),
    )

    assert [requested.get_num_requested(key) for key in asset.keys] == [1, 1]


def test_key_prefix(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """Assets that get a prefix after they were built are materialized with it."""
    server.add_project("project")
    module = ModuleType("features")
    module.features = features()  # type: ignore[attr-defined]
    prefixed: Any = dg.load_assets_from_modules([module], key_prefix="dev")

    result = run(prefixed, rudderstack, instance)

    assert materialized(result) == ["dev/users", "dev/accounts"]


def test_resource_key(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """The resource may have another key, and the asset can be called directly."""
    server.add_project("project")
    asset = features(resource_key="eu")

    results: Any = asset(dg.build_asset_context(), eu=rudderstack)

    assert [each.asset_key.to_user_string() for each in results] == ["users", "accounts"]


# --- partitions


@pytest.mark.parametrize(
    ("build", "partitions_def", "key", "message"),
    [
        (build_rudderstack_source_asset, DAILY, "2026-01-05", "'users' has partitions, but a run"),
        (
            build_rudderstack_profiles_asset,
            dg.StaticPartitionsDefinition(["a"]),
            "a",
            "partitions_def is a StaticPartitionsDefinition",
        ),
    ],
    ids=["etl", "profiles"],
)
def test_partitions__set_later(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    build: Build,
    partitions_def: dg.PartitionsDefinition[str],
    key: str,
    message: str,
) -> None:
    """Partitions that an asset gets after it was built, and that no run can have, fail the step
    before a request."""
    server.add_project("project")
    built = build(source_id="project", specs=["users"])
    asset = built.map_asset_specs(
        lambda spec: spec.replace_attributes(partitions_def=partitions_def)
    )

    result = run([asset], rudderstack, instance, partition_key=key)

    assert message in failure(result)
    assert list(server.requests) == []


@pytest.mark.parametrize("partitions_def", [None, DAILY], ids=["spec", "option"])
def test_partition(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    partitions_def: dg.PartitionsDefinition[str] | None,
) -> None:
    """The time window of a partition is the begin and the end of the run."""
    server.add_project("project")
    own = None if partitions_def else DAILY
    asset = build_rudderstack_profiles_asset(
        source_id="project",
        specs=[dg.AssetSpec(key, partitions_def=own) for key in ("users", "accounts")],
        partitions_def=partitions_def,
        model_refs=["models/users"],
    )

    result = run([asset], rudderstack, instance, partition_key="2026-01-05")

    events = result.get_asset_materialization_events()
    assert [event.partition for event in events] == ["2026-01-05", "2026-01-05"]
    window = ["--begin_time 2026-01-05T00:00:00Z", "--end_time 2026-01-06T00:00:00Z"]
    assert bodies(server) == [{"parameters": ["--model_refs models/users", *window]}]


def test_partition__time_zone(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The window is that of the partitions' time zone, in UTC."""
    server.add_project("project")
    daily = dg.DailyPartitionsDefinition("2026-01-01", timezone="Europe/Berlin")

    run([features(partitions_def=daily)], rudderstack, instance, partition_key="2026-01-05")

    (body,) = bodies(server)
    assert body["parameters"] == [
        "--begin_time 2026-01-04T23:00:00Z",
        "--end_time 2026-01-05T23:00:00Z",
    ]


def test_partition__several_in_one_run(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A backfill that runs several partitions at once gets the window of all of them."""
    server.add_project("project")
    asset = features(partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    tags = {
        "dagster/asset_partition_range_start": "2026-01-05",
        "dagster/asset_partition_range_end": "2026-01-07",
    }

    result = run([asset], rudderstack, instance, tags=tags)

    (body,) = bodies(server)
    assert body["parameters"] == [
        "--begin_time 2026-01-05T00:00:00Z",
        "--end_time 2026-01-08T00:00:00Z",
    ]
    built = {
        (event.materialization.asset_key.to_user_string(), event.partition)
        for event in result.get_asset_materialization_events()
    }
    days = ("2026-01-05", "2026-01-06", "2026-01-07")
    assert built == {(key, day) for key in ("users", "accounts") for day in days}


def test_partition__of_other_assets(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """Without partitions of its own, a project gets no window in a run with a partition."""
    server.add_project("project")

    @dg.asset(partitions_def=DAILY)
    def raw() -> None: ...

    result = run([raw, features(deps=["raw"])], rudderstack, instance, partition_key="2026-01-05")

    assert result.success
    assert bodies(server) == [None]


# --- the config of a run


def config_of(**settings: Any) -> dg.RunConfig:
    return dg.RunConfig(ops={"rudderstack_project": RudderStackProfilesConfig(**settings)})


def test_run_config(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """The parameters in the run config replace those of the definition, and the others stay."""
    server.add_project("project")
    asset = features(
        model_refs=["models/users"], begin_time=datetime(2026, 1, 1, tzinfo=timezone.utc)
    )
    config = config_of(model_refs=[], end_time="2026-01-31T02:00:00+02:00", rebase_incremental=True)

    run([asset], rudderstack, instance, run_config=config)

    (body,) = bodies(server)
    assert body["parameters"] == [
        "--begin_time 2026-01-01T00:00:00Z",
        "--end_time 2026-01-31T00:00:00Z",
        "--rebase_incremental",
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_refs": ["--rebase"]}, "In the run config: model_refs has '--rebase'"),
        ({"begin_time": "2026"}, "In the run config: begin_time '2026'"),
        ({"begin_time": "2030-01-01T00:00:00Z"}, "must be before end_time 2026-03-01T00:00:00Z"),
        ({"timeout_seconds": 0}, "In the run config: timeout_seconds 0"),
        ({"poll_interval_seconds": -1}, "In the run config: poll_interval_seconds -1"),
    ],
    ids=str,
)
def test_run_config__invalid(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    settings: dict[str, Any],
    message: str,
) -> None:
    """An invalid value in the run config fails the step before any request."""
    server.add_project("project")
    asset = features(end_time="2026-03-01T00:00:00Z")

    result = run([asset], rudderstack, instance, run_config=config_of(**settings))

    assert message in failure(result)
    assert server.requests == []


def test_run_config__time_of_a_partition(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """A time in the run config of a partition fails the step: the partition has its own window."""
    server.add_project("project")
    config = config_of(begin_time="2026-01-01T00:00:00Z")

    result = run(
        [features(partitions_def=DAILY)],
        rudderstack,
        instance,
        partition_key="2026-01-05",
        run_config=config,
    )

    assert "begin_time '2026-01-01T00:00:00Z' cannot be used with partitions" in failure(result)
    assert server.requests == []


def test_run_config__unknown() -> None:
    """An unknown setting is refused, with the nearest one. ETL has no parameters of Profiles."""
    with pytest.raises(ValueError, match="Did you mean 'model_refs'"):
        RudderStackProfilesConfig(model_ref=["x"])  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="There is no setting 'model_refs'"):
        RudderStackSourceConfig(model_refs=["x"])  # type: ignore[call-arg]


@pytest.mark.parametrize("build", BUILDERS)
def test_run_config__choices(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    build: Build,
) -> None:
    """What the run config chooses about a running run replaces what the definition chooses."""
    server.add_project("project", RunScript(never_ends=True))
    server.start_run("project")
    asset = build(source_id="project", specs=["a", "b"], on_running_run="wait")
    config = {"ops": {"rudderstack_project": {"config": {"on_running_run": "fail"}}}}

    result = run([asset], rudderstack, instance, run_config=config)

    assert "is already running" in failure(result)
    assert bodies(server) == []


def test_timeout(
    server: LocalRudderStack, rudderstack: RudderStackResource, instance: dg.DagsterInstance
) -> None:
    """If a run takes too long, the step fails, and says that the run goes on in RudderStack."""
    server.add_project("project", RunScript(never_ends=True))

    result = run([features(timeout_seconds=1)], rudderstack, instance)

    assert "timeout of 1 s: it goes on in RudderStack" in failure(result)
    assert [each.running for each in server.runs("project")] == [True]
