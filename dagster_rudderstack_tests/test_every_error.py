"""Every error of the library, in a run and outside, from a server that repeats the access token."""

import inspect
import json
import pickle
import shutil
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    RudderStackResource,
    build_rudderstack_sync_asset,
    errors,
    rudderstack_sync_op,
)
from dagster_rudderstack.errors import RudderStackError
from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.step.world import instance_in

TOKEN = "rst-0123456789abcdefghij"
TEXT = f"no: {TOKEN}"
BODY = json.dumps({"error": TEXT})
NEVER_ENDS = SyncScript(never_ends=True)
NO_RETRIES = {"request_max_retries": 0}
RETRY = dg.RetryPolicy(max_retries=1)


@dataclass(frozen=True)
class Scenario:
    """A cause of an error.

    Attributes:
        error: The class of the error.
        retried: Whether Dagster may retry the step.
        script: The script of the syncs.
        fault: A fault of the server.
        settings: Settings of the resource.
        options: Options of the connection.
        is_running: Whether the sync of another client runs.
    """

    error: type[RudderStackError]
    retried: bool
    script: SyncScript = field(default_factory=SyncScript)
    fault: Fault | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    is_running: bool = False

    @property
    def name(self) -> str:
        """The class of the error, with the status of the answer if there is one."""
        status = self.fault.status if self.fault and self.fault.kind == "status" else ""
        return f"{self.error.__name__}{status}"

    def prepare(self, server: LocalRudderStack) -> None:
        """Set up the server."""
        server.add_connection("crm", script=self.script, **self.options)
        if self.is_running:
            server.start_sync("crm", "dashboard", script=NEVER_ENDS)
        if self.fault is not None:
            server.add_fault(self.fault)


def answer(status: int, **options: Any) -> Fault:
    """Return a fault that answers every request with a status."""
    return Fault("status", status=status, body=BODY, times=None, **options)


SCENARIOS = [
    Scenario(errors.AuthenticationError, retried=True, fault=answer(401), settings=NO_RETRIES),
    Scenario(errors.PermissionDeniedError, retried=False, fault=answer(403)),
    Scenario(errors.NotFoundError, retried=False, fault=answer(404)),
    Scenario(errors.StatusError, retried=False, fault=answer(400)),
    Scenario(errors.StatusError, retried=False, fault=answer(422, operation="start")),
    Scenario(errors.StatusError, retried=True, fault=answer(503), settings=NO_RETRIES),
    # Without Retry-After, the next request would wait for 1 s.
    Scenario(
        errors.RateLimitedError, retried=True, fault=answer(429, retry_after=0), settings=NO_RETRIES
    ),
    Scenario(
        errors.TransportError, retried=True, fault=Fault("reset", times=None), settings=NO_RETRIES
    ),
    Scenario(
        errors.UnexpectedResponseError,
        retried=True,
        fault=Fault("body", body=TEXT, times=None),
        settings=NO_RETRIES,
    ),
    Scenario(errors.SyncFailedError, retried=True, script=SyncScript(status="failed", error=TEXT)),
    Scenario(errors.SyncFailedError, retried=True, script=SyncScript(status=TEXT)),
    Scenario(
        errors.SyncAbortedError, retried=False, script=SyncScript(status="Aborted", error=TEXT)
    ),
    Scenario(
        errors.SyncTimedOutError,
        retried=True,
        script=SyncScript(never_ends=True, running_status=TEXT),
        settings={"sync_timeout_seconds": 1},
    ),
    Scenario(
        errors.SyncLostError,
        retried=True,
        script=NEVER_ENDS,
        fault=answer(503, operation="get_sync"),
        settings={"outage_tolerance_seconds": 0},
    ),
    Scenario(
        errors.SyncAlreadyRunningError,
        retried=True,
        settings={"on_running_sync": "fail"},
        is_running=True,
    ),
    Scenario(errors.ConnectionDisabledError, retried=False, options={"enabled": False}),
]

WITHOUT_A_SCENARIO = {
    errors.RudderStackError: "a base class",
    errors.ApiError: "a base class",
    errors.SyncError: "a base class",
    errors.ConflictError: "is handled: it means that a sync runs",
    errors.DiscoveryError: "is raised while definitions load",
    errors.InvalidSettingError: "see test_bad_id and the bad input table",
    errors.RowsRejectedError: "see test_rejected_rows",
    errors.StartLostError: "see test_lost_start",
}


def test_scenarios__complete() -> None:
    """Every error class has a scenario or a reason to have none."""
    tree = {
        thing
        for _, thing in inspect.getmembers(errors, inspect.isclass)
        if issubclass(thing, RudderStackError)
    }

    assert tree == {scenario.error for scenario in SCENARIOS} | set(WITHOUT_A_SCENARIO)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRudderStack]:
    """A server whose token is in an environment variable."""
    monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", TOKEN)
    with LocalRudderStack(TOKEN) as opened:
        yield opened
        assert opened.errors == []


@pytest.fixture(scope="module")
def instance(
    empty_storage: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dg.DagsterInstance]:
    """An instance with real storage, which all tests share."""
    folder = tmp_path_factory.mktemp("every_error") / "storage"
    with instance_in(shutil.copytree(empty_storage, folder)) as instance:
        yield instance


def resource_of(server: LocalRudderStack, settings: dict[str, Any]) -> RudderStackResource:
    return RudderStackResource(
        **{
            "access_token": dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
            "api_url": server.url,
            "poll_min_interval_seconds": 0.05,
            "poll_max_interval_seconds": 0.05,
            **settings,
        }
    )


Runner = Callable[[dg.DagsterInstance, RudderStackResource], dg.ExecuteInProcessResult]


def run_asset(
    instance: dg.DagsterInstance, resource: RudderStackResource
) -> dg.ExecuteInProcessResult:
    """Materialize the asset of a connection."""
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm", retry_policy=RETRY)
    resources = {"rudderstack": resource}
    return dg.materialize([asset], instance=instance, resources=resources, raise_on_error=False)


def run_op(
    instance: dg.DagsterInstance, resource: RudderStackResource, **config: Any
) -> dg.ExecuteInProcessResult:
    """Run the op with run config, in which it reports a materialization."""

    @dg.job(resource_defs={"rudderstack": resource})
    def activate() -> None:
        rudderstack_sync_op.with_retry_policy(RETRY)()

    config = {"connection_id": "crm", "asset_key": ["reported"], **config}
    return activate.execute_in_process(
        instance=instance,
        raise_on_error=False,
        run_config={"ops": {"rudderstack_sync_op": {"config": config}}},
    )


def cause_of(result: dg.ExecuteInProcessResult) -> str:
    """Return the class name of the error at the end of the step's chain of causes."""
    (failed,) = (event for event in result.all_events if event.is_step_failure)
    error, names = failed.step_failure_data.error, [""]
    while error is not None:
        names.append(error.cls_name or "")
        error = error.cause
    return names[-1]


def was_retried(result: dg.ExecuteInProcessResult) -> bool:
    return any(event.is_step_up_for_retry for event in result.all_events)


@pytest.mark.parametrize("run", [run_asset, run_op])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_in_a_run(
    scenario: Scenario, run: Runner, server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """The step fails without a materialization, is retried if retryable, and shows no token."""
    scenario.prepare(server)

    result = run(instance, resource_of(server, scenario.settings))

    assert not result.success
    # The failure has the message of the error, which would only be shown a second time.
    assert cause_of(result) == "Failure"
    assert was_retried(result) is scenario.retried
    assert result.get_asset_materialization_events() == []
    stored = [dg.serialize_value(entry) for entry in instance.all_logs(result.run_id)]
    assert len(stored) > 5
    assert [entry for entry in stored if TOKEN in entry] == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_outside_dagster(scenario: Scenario, server: LocalRudderStack) -> None:
    """The error shows no token, not even with its causes and the local variables of its frames."""
    scenario.prepare(server)

    with (
        resource_of(server, scenario.settings) as rudderstack,
        pytest.raises(scenario.error) as caught,
    ):
        rudderstack.sync_and_poll("crm")

    error = caught.value
    assert error.__traceback__ is not None
    # Without the frame of this test, whose variables have the token.
    frames = error.__traceback__.tb_next
    shown = traceback.TracebackException(type(error), error, frames, capture_locals=True)
    printed = "".join(shown.format())
    assert TOKEN not in f"{error} {error!r} {vars(error)}"
    assert "sync_and_poll" in printed
    assert TOKEN not in printed
    assert TOKEN.encode() not in pickle.dumps(error)


def test_bad_id(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """A wrong connection id is not sent, and the step is not retried."""
    result = run_op(instance, resource_of(server, {}), connection_id="../../sources/x/start?")

    assert cause_of(result) == "Failure"
    assert not was_retried(result)
    assert server.requests == []


def test_rejected_rows(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """Too many rejected rows fail the op without a retry. The delivered rows are materialized."""
    server.add_connection("crm", script=SyncScript(rows_total=10, rows_failed=1))

    result = run_op(instance, resource_of(server, {}), max_failed_rows=0)

    assert cause_of(result) == "Failure"
    assert not was_retried(result)
    assert len(result.get_asset_materialization_events()) == 1
    assert len(server.starts("crm")) == 1


def test_lost_start(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """A lost start of a run fails the op without a retry, and neither place shows the token."""
    server.add_project("prj", legacy_status=False)
    server.add_fault(Fault("body", body=TEXT, operation="start_run", effect=True, times=None))
    resource = resource_of(server, {"start_settling_seconds": 0})

    @dg.op(retry_policy=RETRY)
    def run_profiles(rudderstack: RudderStackResource) -> None:
        rudderstack.run_source_and_poll("prj")

    @dg.job(resource_defs={"rudderstack": resource})
    def profiles() -> None:
        run_profiles()

    result = profiles.execute_in_process(instance=instance, raise_on_error=False)
    with resource as rudderstack, pytest.raises(errors.StartLostError) as caught:
        rudderstack.run_source_and_poll("prj")

    assert cause_of(result) == "Failure"
    assert not was_retried(result)
    stored = [dg.serialize_value(entry) for entry in instance.all_logs(result.run_id)]
    assert [entry for entry in stored if TOKEN in entry] == []
    assert TOKEN not in f"{caught.value} {vars(caught.value)}"
    assert len(server.run_starts("prj")) == 2
