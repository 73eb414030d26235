"""The resource outside Dagster."""

import asyncio
import gc
import logging
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, get_type_hints

import dagster as dg
import pytest

from dagster_rudderstack import (
    Connection,
    MetadataKey,
    RudderStackResource,
    RudderStackSyncConfig,
    Sync,
    SyncReport,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_op,
)
from dagster_rudderstack.errors import (
    ConflictError,
    ConnectionDisabledError,
    InvalidSettingError,
    NotFoundError,
    RudderStackError,
    SyncFailedError,
)
from dagster_rudderstack.settings import PollPolicy, RequestPolicy, RetryPolicy, SyncPolicy
from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript

SCRIPT = SyncScript(rows_total=5, rows_failed=1)
LINK = "https://app.example/{connection_id}/{sync_id}"


@pytest.fixture
def server(local_rudderstack: LocalRudderStack) -> LocalRudderStack:
    """A RudderStack with one connection, whose syncs end at once."""
    local_rudderstack.add_connection("crm", script=SCRIPT)
    return local_rudderstack


@pytest.fixture
def resource(server: LocalRudderStack) -> RudderStackResource:
    """A resource for that RudderStack."""
    return resource_for(server)


def resource_for(server: LocalRudderStack, **settings: Any) -> RudderStackResource:
    quick = {"poll_min_interval_seconds": 0.01, "dashboard_url": LINK, "start_settling_seconds": 0}
    return RudderStackResource(
        access_token=server.access_token, api_url=server.url, **{**quick, **settings}
    )


# --- settings


def test_defaults() -> None:
    """The resource has the defaults of the policies."""
    resource = RudderStackResource(access_token=dg.EnvVar("TOKEN"))
    requests, poll, sync, retry = RequestPolicy(), PollPolicy(), SyncPolicy(), RetryPolicy()

    assert resource.connect_timeout_seconds == requests.connect_timeout_seconds
    assert resource.read_timeout_seconds == requests.read_timeout_seconds
    assert resource.max_concurrent_requests == requests.max_concurrent_requests
    assert resource.max_requests_per_second == requests.max_requests_per_second
    assert resource.request_max_retries == retry.request_max_retries
    assert resource.poll_min_interval_seconds == poll.poll_min_interval_seconds
    assert resource.poll_max_interval_seconds == poll.poll_max_interval_seconds
    assert resource.poll_growth == poll.poll_growth
    assert resource.poll_jitter == poll.poll_jitter
    assert resource.sync_timeout_seconds == sync.sync_timeout_seconds
    assert resource.start_settling_seconds == sync.start_settling_seconds
    assert resource.outage_tolerance_seconds == sync.outage_tolerance_seconds


def test_sync_policy(server: LocalRudderStack) -> None:
    """The policy of a sync has all settings of the resource, or the overrides of a call."""
    resource = resource_for(
        server,
        request_max_retries=2,
        poll_min_interval_seconds=3.0,
        poll_max_interval_seconds=40.0,
        poll_growth=0.5,
        poll_jitter=0.6,
        sync_timeout_seconds=700,
        stop_on_timeout=False,
        outage_tolerance_seconds=800,
        start_settling_seconds=9,
        on_running_sync="attach",
        stop_on_termination="never",
        check_connection=False,
    )

    assert resource.sync_policy(None, None) == SyncPolicy(
        on_running_sync="attach",
        sync_timeout_seconds=700,
        stop_on_timeout=False,
        outage_tolerance_seconds=800,
        start_settling_seconds=9,
        stop_on_termination="never",
        check_connection=False,
        retry=RetryPolicy(request_max_retries=2),
        poll=PollPolicy(
            poll_min_interval_seconds=3,
            poll_max_interval_seconds=40,
            poll_growth=0.5,
            poll_jitter=0.6,
        ),
    )
    assert resource.sync_policy("fail", 60).on_running_sync == "fail"
    assert resource.sync_policy("fail", 60).sync_timeout_seconds == 60


def test_client__settings() -> None:
    """The client has all settings for requests."""
    resource = RudderStackResource(
        access_token="token-of-the-test",
        region="eu",
        connect_timeout_seconds=3,
        read_timeout_seconds=4,
        max_concurrent_requests=5,
        max_requests_per_second=6.0,
        proxy_url="http://proxy:3128",
        extra_headers={"X-A": "b"},
    )
    with resource:
        settings = resource.get_client()._transport._settings

    assert settings.base_url == "https://api.eu.rudderstack.com/v2"
    assert settings.access_token == "token-of-the-test"
    assert settings.requests == RequestPolicy(
        connect_timeout_seconds=3,
        read_timeout_seconds=4,
        max_concurrent_requests=5,
        max_requests_per_second=6,
    )
    assert settings.proxy_url == "http://proxy:3128"
    assert settings.extra_headers == {"X-A": "b"}


def test_client__shared_throttle(server: LocalRudderStack) -> None:
    """All resources of a process for one API share one throttle."""
    with resource_for(server) as one, resource_for(server) as other:
        assert one.get_client()._transport._throttle is other.get_client()._transport._throttle


def test_settings__descriptions() -> None:
    """Every setting has a description, and the secret ones are marked as secret."""
    fields = RudderStackResource.model_fields
    secret = {
        name
        for name, info in fields.items()
        if isinstance(info.json_schema_extra, dict)
        and info.json_schema_extra.get("dagster__is_secret")
    }

    assert all((info.description or "").endswith(".") for info in fields.values())
    assert secret == {"access_token", "proxy_url"}


# --- methods


def test_methods(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """The methods return typed syncs and connections."""
    server.set_script("crm", SyncScript(never_ends=True))
    with resource as rudderstack:
        sync_id = rudderstack.start_sync("crm", "full")
        running = rudderstack.get_sync("crm", sync_id)
        with pytest.raises(ConflictError):
            rudderstack.start_sync("crm")
        rudderstack.stop_sync("crm")
        stopped = rudderstack.list_syncs("crm", status="failed", limit=1)
        connection = rudderstack.get_connection("crm")
        connections = rudderstack.list_connections(destination_id=connection.destination_id)

    assert isinstance(running, Sync)
    assert running.id == sync_id
    assert not running.is_over
    assert [sync.id for sync in stopped] == [sync_id]
    assert isinstance(connection, Connection)
    assert connections == [connection]
    assert server.syncs("crm")[0].sync_type == "full"


def test_list_syncs__filters(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """Times with any UTC offset filter the list."""
    sync_id = server.start_sync("crm")
    now = datetime.now(timezone(timedelta(hours=9)))
    with resource as rudderstack:
        before = rudderstack.list_syncs("crm", started_before=now - timedelta(minutes=5))
        after = rudderstack.list_syncs("crm", started_after=now - timedelta(minutes=5))

    assert before == []
    assert [sync.id for sync in after] == [sync_id]


def test_sync_and_poll(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """Outside Dagster, it starts a sync, waits for the end and returns the report."""
    with resource as rudderstack:
        report = rudderstack.sync_and_poll(" crm ", "full")

    assert isinstance(report, SyncReport)
    assert report.id == server.syncs("crm")[0].id
    assert (report.connection_id, report.sync_type, report.origin) == ("crm", "full", "started")
    assert (report.rows_total, report.rows_succeeded, report.rows_failed) == (5, 4, 1)


def test_sync_and_poll__fails(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """Outside Dagster, a failed sync is an error that has the sync."""
    server.set_script("crm", SyncScript(status="failed", error="relation does not exist"))
    with resource as rudderstack, pytest.raises(SyncFailedError, match="does not exist") as caught:
        rudderstack.sync_and_poll("crm")

    assert caught.value.sync is not None
    assert caught.value.sync.id == server.syncs("crm")[0].id


def test_sync_and_poll__disabled(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """A disabled connection is an error, and no sync is started."""
    server.update_connection("crm", enabled=False)
    with resource as rudderstack, pytest.raises(ConnectionDisabledError):
        rudderstack.sync_and_poll("crm")

    assert server.starts("crm") == []


def test_poll_sync(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """It waits for the sync of another client and reports it as attached."""
    server.set_script("crm", SyncScript(duration_seconds=0.2, rows_total=3))
    sync_id = server.start_sync("crm")
    with resource as rudderstack:
        report = rudderstack.poll_sync("crm", sync_id)
        with pytest.raises(NotFoundError):
            rudderstack.poll_sync("crm", "nosuchsync")

    assert (report.id, report.origin, report.rows_total) == (sync_id, "attached", 3)
    assert server.starts("crm") == []


def test_with__one_tcp_connection(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """Several syncs with all their polls use one TCP connection."""
    server.set_script("crm", SyncScript(duration_seconds=0.1))
    with resource as rudderstack:
        for _ in range(3):
            rudderstack.sync_and_poll("crm")

    assert server.tcp_connections == 1
    assert len({request.client_port for request in server.requests}) == 1
    assert len(server.requests) > 12


def test_without_with(server: LocalRudderStack) -> None:
    """Without `with`, connections are closed by `close` or with the last reference."""
    resource = resource_for(server)
    resource.list_connections()
    client = resource.get_client()
    assert client is resource.get_client()

    resource.close()
    assert client._transport._http.is_closed
    assert resource.list_connections()  # opens another connection
    http = resource.get_client()._transport._http
    del client, resource
    gc.collect()

    assert http.is_closed
    assert server.tcp_connections == 2


def test_with__reentrant(resource: RudderStackResource) -> None:
    """`with` can be nested and repeated."""
    with resource as outer:
        with resource as inner:
            inner.list_connections()
        outer.list_connections()
    with resource as again:
        assert again.list_connections()


def test_threads(resource: RudderStackResource) -> None:
    """Threads that share a resource share one client."""
    clients = []
    barrier = threading.Barrier(8, timeout=60)

    def use() -> None:
        barrier.wait()
        clients.append(resource.get_client())

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({id(client) for client in clients}) == 1
    resource.close()


def test_event_loop(resource: RudderStackResource) -> None:
    """A sync works in a running event loop, as in a notebook."""

    async def cell() -> str:
        with resource as rudderstack:
            return rudderstack.sync_and_poll("crm").status

    assert asyncio.run(cell()) == "succeeded"


@pytest.mark.filterwarnings("ignore:coroutine 'BaseEventLoop.shutdown_asyncgens'")
def test_event_loop__materialize(resource: RudderStackResource) -> None:
    """A materialization works in a running event loop. Dagster gives the warning for any asset."""

    async def cell() -> bool:
        return dg.materialize([own_asset], resources={"rudderstack": resource}).success

    assert asyncio.run(cell())
    gc.collect()


@pytest.fixture
def ctrl_c(server: LocalRudderStack) -> Iterator[Callable[[str], None]]:
    """Sends SIGINT to this process as soon as the server has a request of an operation."""
    main = threading.main_thread().ident
    assert main is not None
    pressers = []

    def press(operation: str) -> None:
        while not any(request.operation == operation for request in server.requests):
            time.sleep(0.01)
        signal.pthread_kill(main, signal.SIGINT)

    def begin(operation: str) -> None:
        pressers.append(threading.Thread(target=press, args=(operation,), daemon=True))
        pressers[0].start()

    yield begin
    for presser in pressers:
        presser.join(60)


def logged_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings and errors, which Python prints even without a logging configuration."""
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("stop_on_termination", "stops", "ending"),
    [
        ("run_canceled", 0, " is left running"),
        ("always", 1, ": RudderStack was asked to stop it"),
        ("never", 0, " is left running"),
    ],
)
def test_interrupt(
    stop_on_termination: str,
    stops: int,
    ending: str,
    server: LocalRudderStack,
    ctrl_c: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Ctrl-C ends the wait. The sync is stopped only with `stop_on_termination="always"`."""
    server.set_script("crm", SyncScript(never_ends=True))
    settings = {"stop_on_termination": stop_on_termination, "poll_min_interval_seconds": 0.05}

    ctrl_c("get_sync")
    with resource_for(server, **settings) as rudderstack, pytest.raises(KeyboardInterrupt):
        rudderstack.sync_and_poll("crm")

    assert len(server.stops("crm")) == stops
    sync_id = server.syncs("crm")[0].id
    assert logged_warnings(caplog) == [f"Interrupted. Sync {sync_id} of connection crm{ending}."]


@pytest.mark.parametrize(("stop_on_termination", "stops"), [("run_canceled", 0), ("always", 1)])
def test_interrupt__during_the_start(
    stop_on_termination: str,
    stops: int,
    server: LocalRudderStack,
    ctrl_c: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An interrupt before the answer to the start logs that a sync may be running, or stops it."""
    server.set_script("crm", SyncScript(never_ends=True))
    server.add_fault(Fault("slow", operation="start", seconds=60, effect=True))

    ctrl_c("start")
    settings = {"stop_on_termination": stop_on_termination}
    with resource_for(server, **settings) as rudderstack, pytest.raises(KeyboardInterrupt):
        rudderstack.sync_and_poll("crm")

    assert len(server.stops("crm")) == stops
    if stops:
        sync_id = server.syncs("crm")[0].id
        warning = (
            f"Interrupted. Sync {sync_id} of connection crm: RudderStack was asked to stop it."
        )
    else:
        warning = (
            "Interrupted. RudderStack had not answered the start, so a sync of connection crm may "
            "be running. Look in RudderStack's dashboard."
        )
    assert logged_warnings(caplog) == [warning]


def test_interrupt__before_the_start(
    server: LocalRudderStack, ctrl_c: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    """An interrupt before the start sends no start and logs no warning."""
    server.add_fault(Fault("slow", operation="get_connection", seconds=60))

    ctrl_c("get_connection")
    with resource_for(server) as rudderstack, pytest.raises(KeyboardInterrupt):
        rudderstack.sync_and_poll("crm")

    assert server.starts() == []
    assert logged_warnings(caplog) == []


def test_pickle(resource: RudderStackResource) -> None:
    """A resource cannot be pickled, since the pickle would have its token."""
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(resource)


# --- in assets and ops of a user


@dg.asset
def own_asset(rudderstack: RudderStackResource) -> dg.MaterializeResult[Any]:
    """An asset of a user."""
    report = rudderstack.sync_and_poll("crm")
    return dg.MaterializeResult(metadata={"sync": report.id, "rows": report.rows_total})


@dg.asset
def own_asset_with_context(
    context: dg.AssetExecutionContext, rudderstack: RudderStackResource
) -> dg.MaterializeResult[Any]:
    """An asset of a user that passes its context."""
    report = rudderstack.sync_and_poll("crm", context=context)
    return dg.MaterializeResult(metadata={"sync": report.id})


@dg.op
def own_op(context: dg.OpExecutionContext, rudderstack: RudderStackResource) -> str:
    """An op of a user."""
    return rudderstack.sync_and_poll("crm", context=context).id


@dg.op
def polling_op(rudderstack: RudderStackResource) -> str:
    """An op that starts a sync in one call and waits for it in another."""
    sync_id = rudderstack.start_sync("crm")
    return rudderstack.poll_sync("crm", sync_id).id


@dg.job
def own_job() -> None:
    """A job with the op."""
    own_op()


@dg.job
def polling_job() -> None:
    """A job with the op that polls."""
    polling_op()


def test_materialize(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """The resource works in an asset of a user."""
    result = dg.materialize([own_asset], resources={"rudderstack": resource})

    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["sync"].value == server.syncs("crm")[0].id
    assert server.tcp_connections == 1


@pytest.mark.parametrize("job", [own_job, polling_job])
def test_job(
    job: dg.JobDefinition, server: LocalRudderStack, resource: RudderStackResource
) -> None:
    """The resource works in an op of a user."""
    result = job.execute_in_process(resources={"rudderstack": resource})

    assert result.success
    assert [sync.id for sync in server.syncs("crm")] == [result.output_for_node(job.nodes[0].name)]


@pytest.mark.parametrize("call", [own_asset, own_asset_with_context, own_op, polling_op])
def test_direct_call(
    call: Callable[..., Any], server: LocalRudderStack, resource: RudderStackResource
) -> None:
    """A direct call of an asset or op needs no run, no instance and no `with`."""
    build = dg.build_op_context if isinstance(call, dg.OpDefinition) else dg.build_asset_context
    takes_context = call in (own_asset_with_context, own_op)
    context = build(resources={"rudderstack": resource})

    call(context) if takes_context else call(rudderstack=resource)
    call(build(), rudderstack=resource) if takes_context else call(context)

    assert len(server.starts("crm")) == 2


def test_failure(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """In a step, a failed sync is a `dagster.Failure` with the reason and metadata."""
    server.set_script("crm", SyncScript(status="failed", error="no such table"))
    result = dg.materialize([own_asset], resources={"rudderstack": resource}, raise_on_error=False)

    (event,) = [event for event in result.all_events if event.is_step_failure]
    failure = event.step_failure_data.user_failure_data
    assert failure is not None
    assert "no such table" in (failure.description or "")
    sync_id = server.syncs("crm")[0].id
    assert failure.metadata[MetadataKey.SYNC_ID].value == sync_id
    assert failure.metadata[MetadataKey.LINK].value == f"https://app.example/crm/{sync_id}"


@pytest.mark.parametrize(
    "settings", [{"connection_id": "a/b"}, {"sync_type": "all"}, {"timeout_seconds": 0}]
)
def test_failure__bad_arguments(
    settings: dict[str, Any], server: LocalRudderStack, resource: RudderStackResource
) -> None:
    """In a step, a wrong argument is a failure that allows no retry."""
    arguments = {"connection_id": "crm", **settings}

    @dg.asset
    def wrong(rudderstack: RudderStackResource) -> None:
        with pytest.raises(dg.Failure) as caught:
            rudderstack.sync_and_poll(**arguments)
        assert caught.value.allow_retries is False
        assert isinstance(caught.value.__cause__, InvalidSettingError)
        assert repr(next(iter(settings.values()))) in str(caught.value.description)

    assert dg.materialize([wrong], resources={"rudderstack": resource}).success
    assert server.requests == []


def test_failure__poll_sync(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """Polling with a wrong id is a failure in a step, and an error outside."""

    @dg.asset
    def wrong(rudderstack: RudderStackResource) -> None:
        with pytest.raises(dg.Failure, match="is not an id"):
            rudderstack.poll_sync("a/b", "s1")
        with pytest.raises(dg.Failure, match="is not an id"):
            rudderstack.poll_sync("crm", "a/b")

    assert dg.materialize([wrong], resources={"rudderstack": resource}).success
    with resource as rudderstack, pytest.raises(InvalidSettingError):
        rudderstack.poll_sync("a/b", "s1")
    assert server.requests == []


def test_failure__context_without_a_run(
    server: LocalRudderStack, resource: RudderStackResource
) -> None:
    """With a context, the error is a `dagster.Failure` even if there is no run."""
    server.set_script("crm", SyncScript(status="failed"))

    with dg.build_asset_context() as context, pytest.raises(dg.Failure) as caught:
        own_asset_with_context(context, rudderstack=resource)
    with pytest.raises(RudderStackError):
        own_asset(rudderstack=resource)
    assert isinstance(caught.value.__cause__, SyncFailedError)


# --- the warning for a token in code


@pytest.fixture
def warnings_of(caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """Loads definitions with a resource of these settings, and returns the warnings."""

    def load(**settings: Any) -> list[str]:
        caplog.clear()
        resource = RudderStackResource(**settings)
        for _ in range(2):
            dg.Definitions(resources={"rudderstack": resource}).get_repository_def()
        return [record.message for record in caplog.records if record.levelname == "WARNING"]

    return load


def test_token_in_code(warnings_of: Callable[..., list[str]]) -> None:
    """A token in code gives one warning, which does not show the token."""
    (message,) = warnings_of(access_token="literal-token-in-code")

    assert "is written in code" in message
    assert "EnvVar('RUDDERSTACK_ACCESS_TOKEN')" in message
    assert "literal-token" not in message


def test_token_in_code__no_warning(
    warnings_of: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no warning for an `EnvVar`, or for a server on this machine."""
    monkeypatch.setenv("TOKEN", "token-of-the-environment")

    assert warnings_of(access_token=dg.EnvVar("TOKEN")) == []
    assert warnings_of(access_token="made-up-token", api_url="http://localhost:8000") == []


def test_token_in_code__no_warning_in_a_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A run, where the variable has been read, gives no warning."""
    monkeypatch.setenv("TOKEN", "token-of-the-environment")

    @dg.asset
    def reading(rudderstack: RudderStackResource) -> None:
        assert rudderstack.access_token == "token-of-the-environment"

    resource = RudderStackResource(access_token=dg.EnvVar("TOKEN"))
    assert dg.materialize([reading], resources={"rudderstack": resource}).success
    assert "written in code" not in caplog.text


def test_type_hints() -> None:
    """The type hints of the methods can be resolved at run time."""
    for name in ("start_sync", "get_sync", "list_syncs", "stop_sync", "poll_sync", "sync_and_poll"):
        assert "return" in get_type_hints(getattr(RudderStackResource, name)), name


def test_env_var__set_later(server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is read when the resource is used, not when it is created."""
    monkeypatch.delenv("LATE_TOKEN", raising=False)
    resource = RudderStackResource(access_token=dg.EnvVar("LATE_TOKEN"), api_url=server.url)
    monkeypatch.setitem(os.environ, "LATE_TOKEN", server.access_token)

    with resource as rudderstack:
        assert rudderstack.access_token == server.access_token
        assert rudderstack.list_connections()


# --- assets and ops of the factories


def test_direct_call__factories(server: LocalRudderStack, resource: RudderStackResource) -> None:
    """A direct call of an asset or op of the factories yields its results."""
    asset = build_rudderstack_sync_asset(connection_id="crm", spec="crm", sync_type="full")
    op = build_rudderstack_sync_op(connection_id="crm")
    in_asset = dg.build_asset_context(resources={"rudderstack": resource})
    in_op = dg.build_op_context(resources={"rudderstack": resource})
    events: Any = asset(in_asset)
    outputs: Any = op(in_op, RudderStackSyncConfig())
    materialization, check = events
    (output,) = outputs

    first, second = server.syncs("crm")
    assert first.sync_type == "full"
    assert materialization.metadata[MetadataKey.SYNC_ID].value == first.id
    assert materialization.metadata[MetadataKey.ROWS_FAILED].value == 1
    assert (check.check_name, check.passed) == ("rejected_rows", False)
    assert output.value.id == second.id
    assert output.metadata[MetadataKey.SYNC_ID].value == second.id
