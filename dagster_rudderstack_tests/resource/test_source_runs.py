"""Runs of Profiles projects and of ETL sources with the resource, in Dagster and outside."""

from typing import Any, get_type_hints

import dagster as dg
import pytest
from pydantic import ValidationError

from dagster_rudderstack import (
    ConflictError,
    InvalidSettingError,
    MetadataKey,
    NotFoundError,
    ProfilesParameters,
    RudderStackResource,
    SourceRun,
    SourceRunReport,
    StartLostError,
    SyncAlreadyRunningError,
    SyncFailedError,
    SyncTimedOutError,
)
from dagster_rudderstack.settings import SyncPolicy
from dagster_rudderstack.sync.choices import RunChoices
from dagster_rudderstack.testing import Fault, LocalRudderStack, RunScript
from dagster_rudderstack_tests.resource.world import resource_for

LINK = "https://app.example/{source_id}/runs/{run_id}"
MODELS = ProfilesParameters(["models/a"])


@pytest.fixture
def resource(server: LocalRudderStack) -> RudderStackResource:
    """A resource with a link, and a project whose runs end at once."""
    server.add_project("prj")
    return resource_for(server, run_dashboard_url=LINK)


# --- outside Dagster


def test_run_source_and_poll(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """Outside Dagster, it starts a run, waits for the end and returns the report."""
    with resource as rudderstack:
        report = rudderstack.run_source_and_poll(" prj ", MODELS)

    (run,) = server.runs("prj")
    assert isinstance(report, SourceRunReport)
    assert (report.id, report.source_id, report.origin) == (run.id, "prj", "started")
    assert run.parameters == report.parameters == ("--model_refs models/a",)


@pytest.mark.parametrize(
    ("script", "choices", "error"),
    [
        (RunScript(error="no such table"), {}, SyncFailedError),
        (RunScript(never_ends=True), {"timeout_seconds": 1}, SyncTimedOutError),
    ],
)
def test_run_source_and_poll__fails(
    server: LocalRudderStack,
    resource: RudderStackResource,
    script: RunScript,
    choices: Any,
    error: type[SyncFailedError],
) -> None:
    """Outside Dagster, a run that fails or takes too long is an error that has the run."""
    server.set_run_script("prj", script)
    with resource as rudderstack, pytest.raises(error) as caught:
        rudderstack.run_source_and_poll("prj", **choices)

    assert isinstance(caught.value.sync, SourceRun)
    assert caught.value.sync.id == server.runs("prj")[0].id
    assert caught.value.source_id == "prj"


def test_run_source_and_poll__running(
    server: LocalRudderStack, resource: RudderStackResource
) -> None:
    """`on_running_run` of a call decides about a run of another client. The resource's choice for
    syncs does not."""
    server.start_run("prj", script=RunScript(duration_seconds=3))
    attaching = resource_for(server, on_running_sync="attach")

    with resource as rudderstack, pytest.raises(SyncAlreadyRunningError):
        rudderstack.run_source_and_poll("prj", on_running_run="fail")
    with attaching as rudderstack:
        report = rudderstack.run_source_and_poll("prj")

    first, second = server.runs("prj")
    assert (report.id, report.origin) == (second.id, "started")
    assert first.finished_at is not None
    assert second.started_at >= first.finished_at


def test_run_source_and_poll__lost_start(
    server: LocalRudderStack, resource: RudderStackResource
) -> None:
    """`on_lost_start` of a call decides whether a lost start is repeated."""
    server.update_project("prj", legacy_status=False)
    server.add_fault(Fault("reset", operation="start_run", times=2))

    with resource as rudderstack:
        with pytest.raises(StartLostError):
            rudderstack.run_source_and_poll("prj")
        report = rudderstack.run_source_and_poll("prj", on_lost_start="start_again")

    assert [run.id for run in server.runs("prj")] == [report.id]


def test_start_and_get(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """A run can be started and read without waiting."""
    server.set_run_script("prj", RunScript(never_ends=True))
    with resource as rudderstack:
        run_id = rudderstack.start_source_run("prj", MODELS)
        run = rudderstack.get_source_run("prj", run_id)
        with pytest.raises(ConflictError):
            rudderstack.start_source_run("prj")
        with pytest.raises(NotFoundError):
            rudderstack.get_source_run("prj", "nosuchrun")

    assert isinstance(run, SourceRun)
    assert (run.id, run.is_over) == (run_id, False)
    assert server.runs("prj")[0].parameters == ("--model_refs models/a",)


def test_start__never_repeated(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """A start is sent once, and a read is repeated after an error that may pass."""
    server.add_fault(Fault("status", operation="start_run"))
    with resource as rudderstack:
        with pytest.raises(Exception, match="503"):
            rudderstack.start_source_run("prj")
        run_id = rudderstack.start_source_run("prj")
        server.add_fault(Fault("status", operation="get_run"))
        assert rudderstack.get_source_run("prj", run_id).is_over

    assert len(server.run_starts("prj")) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source_id": "../x"}, "source_id"),
        ({"source_id": ""}, "source_id"),
        ({"source_id": None}, "source_id"),
        ({"on_running_run": "attach"}, "on_running_run 'attach'"),
        ({"on_lost_start": "again"}, "on_lost_start 'again'"),
        ({"timeout_seconds": -1}, "timeout_seconds -1"),
        ({"poll_interval_seconds": 0}, "poll_interval_seconds 0"),
        ({"parameters": {"model_refs": ["a"]}}, "parameters {'model_refs': ['a']}"),
        ({"parameters": ["--model_refs a"]}, "parameters ['--model_refs a']"),
    ],
)
def test_run_source_and_poll__bad_input(
    server: LocalRudderStack, resource: RudderStackResource, arguments: Any, message: str
) -> None:
    """A bad argument is refused before any request, and the error names it."""
    with resource as rudderstack, pytest.raises(InvalidSettingError) as caught:
        rudderstack.run_source_and_poll(**{"source_id": "prj", **arguments})

    assert message in str(caught.value)
    assert server.requests == []


def test_start__bad_input(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """Parameters of the wrong type are refused before the start."""
    wrong: Any = ["--model_refs a"]
    with resource as rudderstack, pytest.raises(InvalidSettingError, match="ProfilesParameters"):
        rudderstack.start_source_run("prj", wrong)

    assert server.requests == []


def test_type_hints() -> None:
    """The type hints of the methods can be resolved at run time."""
    for name in ("start_source_run", "get_source_run", "run_source_and_poll"):
        assert "return" in get_type_hints(getattr(RudderStackResource, name)), name


# --- in Dagster


@dg.asset
def features(rudderstack: RudderStackResource) -> dg.MaterializeResult[Any]:
    """An asset of a user."""
    report = rudderstack.run_source_and_poll("prj", MODELS)
    return dg.MaterializeResult(metadata={"run": report.id})


@dg.asset
def features_with_context(
    context: dg.AssetExecutionContext, rudderstack: RudderStackResource
) -> dg.MaterializeResult[Any]:
    """An asset of a user that passes its context."""
    report = rudderstack.run_source_and_poll("prj", MODELS, context=context)
    return dg.MaterializeResult(metadata={"run": report.id})


@pytest.mark.parametrize("asset", [features, features_with_context])
def test_materialize(
    asset: dg.AssetsDefinition, server: LocalRudderStack, resource: RudderStackResource
) -> None:
    """The method works in an asset of a user, with or without its context."""
    result = dg.materialize([asset], resources={"rudderstack": resource})

    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["run"].value == server.runs("prj")[0].id


def failure_of(result: dg.ExecuteInProcessResult) -> Any:
    """Return what Dagster stored of the failure of the only step."""
    (event,) = (event for event in result.all_events if event.is_step_failure)
    return event.step_failure_data.user_failure_data


def test_materialize__fails(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """In a step, a failed run is a failure with the reason, and the facts of the run."""
    server.set_run_script("prj", RunScript(error="no such table", tasks=("models/a",)))

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [features],
            resources={"rudderstack": resource},
            instance=instance,
            raise_on_error=False,
        )
        (observed,) = instance.fetch_observations(dg.AssetKey("features"), limit=5).records

    (run,) = server.runs("prj")
    failed = failure_of(result)
    assert failed.description.startswith(f"Run {run.id} of source prj failed.")
    assert "RudderStack says: no such table." in failed.description
    metadata = failed.metadata
    assert metadata[MetadataKey.ERROR].value == "no such table"
    assert metadata[MetadataKey.STATUS].value == "finished"
    assert metadata[MetadataKey.SOURCE_ID].value == "prj"
    assert metadata[MetadataKey.RUN_ID].value == run.id
    assert metadata[MetadataKey.LINK].value == f"https://app.example/prj/runs/{run.id}"
    assert metadata[MetadataKey.TASKS].value[0]["task_id"] == "models/a"
    assert MetadataKey.CONNECTION_ID not in metadata
    assert observed.asset_observation is not None
    assert observed.asset_observation.metadata[MetadataKey.RUN_ID].value == run.id


@pytest.mark.parametrize("status", [403, 404])
def test_materialize__refused(
    server: LocalRudderStack, resource: RudderStackResource, status: int
) -> None:
    """A refused start is a failure that names the source."""
    server.add_fault(Fault("status", status=status, operation="start_run"))

    result = dg.materialize([features], resources={"rudderstack": resource}, raise_on_error=False)

    failed = failure_of(result)
    assert failed.metadata[MetadataKey.SOURCE_ID].value == "prj"
    assert MetadataKey.CONNECTION_ID not in failed.metadata


def test_materialize__bad_input(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """A bad argument in a step is a failure with the same message."""

    @dg.asset
    def wrong(rudderstack: RudderStackResource) -> None:
        rudderstack.run_source_and_poll("../x")

    result = dg.materialize([wrong], resources={"rudderstack": resource}, raise_on_error=False)

    assert failure_of(result).description.startswith("source_id '../x'")
    assert server.requests == []


# --- settings


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "app.example/{run_id}",
        "https://app.example",
        "ftp://x/{run_id}",
        "https://x y/{run_id}",
    ],
)
def test_run_dashboard_url__invalid(value: str) -> None:
    """The address of a run's page is an http(s) address with one of the ids."""
    with pytest.raises(ValidationError, match="run_dashboard_url"):
        RudderStackResource(access_token="token-of-the-test", run_dashboard_url=value)


def test_run_dashboard_url__names_of_a_sync() -> None:
    """The names of a sync's address are none of a run's, and the message has the right ones."""
    with pytest.raises(ValidationError) as caught:
        RudderStackResource(
            access_token="token-of-the-test", run_dashboard_url="https://x/{sync_id}"
        )

    assert (
        "run_dashboard_url 'https://x/{sync_id}': expected https://… with {source_id} or {run_id} "
        "in it."
    ) in str(caught.value)


@pytest.mark.parametrize("template", ["https://x/{source_id}", "https://x/{run_id}", LINK])
def test_run_dashboard_url(server: LocalRudderStack, template: str) -> None:
    """One of the ids is enough, and an environment variable is read."""
    server.add_project("prj", RunScript(error="no such table"))
    resource = resource_for(server, run_dashboard_url=template)

    result = dg.materialize([features], resources={"rudderstack": resource}, raise_on_error=False)

    run_id = server.runs("prj")[0].id
    link = template.replace("{source_id}", "prj").replace("{run_id}", run_id)
    assert failure_of(result).metadata[MetadataKey.LINK].value == link


def test_sync_policy(server: LocalRudderStack) -> None:
    """The policy of a run has the resource's times, and its own choices."""
    resource = resource_for(server, on_running_sync="attach", sync_timeout_seconds=700)

    policy = resource.sync_policy(RunChoices())
    chosen = resource.sync_policy(RunChoices("fail", "start_again", 60, 7))

    assert (policy.on_running_sync, policy.on_lost_start) == ("wait", "fail")
    assert policy.sync_timeout_seconds == 700
    assert (chosen.on_running_sync, chosen.on_lost_start) == ("fail", "start_again")
    assert chosen.sync_timeout_seconds == 60
    assert chosen.poll.interval_seconds(elapsed_seconds=3600, jitter=0.5) == 7
    assert resource.sync_policy().on_lost_start == SyncPolicy().on_lost_start == "fail"
