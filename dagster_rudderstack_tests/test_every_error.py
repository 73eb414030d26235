"""Every error there is, met in a run, from a server that puts our own token into all it says."""

import inspect
import json
import pickle
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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

TOKEN = "rst-0123456789abcdefghij"
WORDS = f"no: {TOKEN}"
BODY = json.dumps({"error": WORDS})
ENDLESS = SyncScript(never_ends=True)
ONCE = {"request_max_retries": 0}
RETRY = dg.RetryPolicy(max_retries=1)


@dataclass(frozen=True)
class Trouble:
    """A way to an error.

    Attributes:
        error: its class.
        retried: whether Dagster may retry the step.
        script: of the syncs.
        fault: what breaks.
        settings: of the resource.
        options: of the connection.
        is_running: whether somebody else's sync runs.
    """

    error: type[RudderStackError]
    retried: bool
    script: SyncScript = field(default_factory=SyncScript)
    fault: Fault | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    is_running: bool = False

    def prepare(self, server: LocalRudderStack) -> None:
        """Make the trouble."""
        server.add_connection("crm", script=self.script, **self.options)
        if self.is_running:
            server.start_sync("crm", "dashboard", script=ENDLESS)
        if self.fault is not None:
            server.add_fault(self.fault)


def answer(status: int, **options: Any) -> Fault:
    """Return a fault that answers every request with a status."""
    return Fault("status", status=status, body=BODY, times=None, **options)


TROUBLES = [
    Trouble(errors.AuthenticationError, retried=False, fault=answer(401)),
    Trouble(errors.PermissionDeniedError, retried=False, fault=answer(403)),
    Trouble(errors.NotFoundError, retried=False, fault=answer(404)),
    Trouble(errors.StatusError, retried=False, fault=answer(400)),
    Trouble(errors.StatusError, retried=False, fault=answer(422, operation="start")),
    Trouble(errors.StatusError, retried=True, fault=answer(503), settings=ONCE),
    Trouble(errors.RateLimitedError, retried=True, fault=answer(429), settings=ONCE),
    Trouble(errors.TransportError, retried=True, fault=Fault("reset", times=None), settings=ONCE),
    Trouble(
        errors.UnexpectedResponseError,
        retried=True,
        fault=Fault("body", body=WORDS, times=None),
        settings=ONCE,
    ),
    Trouble(errors.SyncFailedError, retried=True, script=SyncScript(status="failed", error=WORDS)),
    Trouble(errors.SyncFailedError, retried=True, script=SyncScript(status=WORDS)),
    Trouble(
        errors.SyncAbortedError, retried=False, script=SyncScript(status="Aborted", error=WORDS)
    ),
    Trouble(
        errors.SyncTimedOutError,
        retried=True,
        script=SyncScript(never_ends=True, running_status=WORDS),
        settings={"sync_timeout_seconds": 1},
    ),
    Trouble(
        errors.SyncLostError,
        retried=True,
        script=ENDLESS,
        fault=answer(500, operation="get_sync"),
        settings={"outage_tolerance_seconds": 0},
    ),
    Trouble(
        errors.SyncAlreadyRunningError,
        retried=True,
        settings={"on_running_sync": "fail"},
        is_running=True,
    ),
    Trouble(errors.ConnectionDisabledError, retried=False, options={"enabled": False}),
]

NOT_A_FAILURE_OF_A_SYNC = {
    errors.RudderStackError: "a base class",
    errors.ApiError: "a base class",
    errors.SyncError: "a base class",
    errors.ConflictError: "means that a sync runs, which is looked for",
    errors.DiscoveryError: "comes while definitions load",
    errors.InvalidSettingError: "see test_no_id and the bad input table",
    errors.RowsRejectedError: "see test_rejected_rows",
}


def test_table_is_complete() -> None:
    """No class of the tree is forgotten."""
    tree = {
        thing
        for _, thing in inspect.getmembers(errors, inspect.isclass)
        if issubclass(thing, RudderStackError)
    }

    assert tree == {trouble.error for trouble in TROUBLES} | set(NOT_A_FAILURE_OF_A_SYNC)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRudderStack]:
    """A server whose token comes from the environment."""
    monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", TOKEN)
    with LocalRudderStack(TOKEN) as opened:
        yield opened
        assert opened.errors == []


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance with real storage, which takes longer to make than a run to fail."""
    with dg.instance_for_test() as made:
        yield made


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
    """Run the op that is configured by run config, and that reports a materialization."""

    @dg.job(resource_defs={"rudderstack": resource})
    def activate() -> None:
        rudderstack_sync_op.with_retry_policy(RETRY)()

    config = {"connection_id": "crm", "asset_key": ["reported"], **config}
    return activate.execute_in_process(
        instance=instance,
        raise_on_error=False,
        run_config={"ops": {"rudderstack_sync_op": {"config": config}}},
    )


def classes_of(result: dg.ExecuteInProcessResult) -> list[str | None]:
    """Return the classes of the exceptions that failed the step, the last one first."""
    (failed,) = (event for event in result.all_events if event.is_step_failure)
    error, names = failed.step_failure_data.error, []
    while error is not None:
        names.append(error.cls_name)
        error = error.cause
    return names


def was_retried(result: dg.ExecuteInProcessResult) -> bool:
    return any(event.is_step_up_for_retry for event in result.all_events)


@pytest.mark.parametrize("run", [run_asset, run_op])
@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.error.__name__)
def test_in_a_run(
    trouble: Trouble, run: Runner, server: LocalRudderStack, instance: dg.DagsterInstance
) -> None:
    """It fails the step, materializes nothing, is retried if that may help, and has no token."""
    trouble.prepare(server)

    result = run(instance, resource_of(server, trouble.settings))

    assert not result.success
    assert trouble.error.__name__ in classes_of(result)
    assert "Failure" in classes_of(result)
    assert was_retried(result) is trouble.retried
    assert result.get_asset_materialization_events() == []
    stored = [dg.serialize_value(entry) for entry in instance.all_logs(result.run_id)]
    assert len(stored) > 5
    assert [entry for entry in stored if TOKEN in entry] == []


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.error.__name__)
def test_outside_dagster(trouble: Trouble, server: LocalRudderStack) -> None:
    """However the error is printed, with its causes or the variables around it, no token shows."""
    trouble.prepare(server)

    with (
        resource_of(server, trouble.settings) as rudderstack,
        pytest.raises(trouble.error) as caught,
    ):
        rudderstack.sync_and_poll("crm")

    error = caught.value
    assert error.__traceback__ is not None
    # Without the frame of this test, whose variables know the token.
    frames = error.__traceback__.tb_next
    shown = traceback.TracebackException(type(error), error, frames, capture_locals=True)
    printed = "".join(shown.format())
    assert TOKEN not in f"{error} {error!r} {vars(error)}"
    assert "sync_and_poll" in printed
    assert TOKEN not in printed
    assert TOKEN.encode() not in pickle.dumps(error)


def test_no_id(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """What cannot be an id is not sent, and not tried again."""
    result = run_op(instance, resource_of(server, {}), connection_id="../../sources/x/start?")

    assert "InvalidSettingError" in classes_of(result)
    assert not was_retried(result)
    assert server.requests == []


def test_rejected_rows(server: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """Too many rejected rows fail the op, for good; what was moved was moved, and is reported."""
    server.add_connection("crm", script=SyncScript(rows_total=10, rows_failed=1))

    result = run_op(instance, resource_of(server, {}), max_failed_rows=0)

    assert "RowsRejectedError" in classes_of(result)
    assert not was_retried(result)
    assert len(result.get_asset_materialization_events()) == 1
    assert len(server.starts("crm")) == 1
