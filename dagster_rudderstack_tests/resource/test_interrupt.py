"""Ctrl-C while the resource syncs outside Dagster."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from dagster_rudderstack.testing import Fault, LocalRudderStack, RunScript, SyncScript
from dagster_rudderstack_tests.resource.world import resource_for

LEFT = (
    " is left running. To stop it, run `dagster-rudderstack stop crm --api-url {url}`, or call "
    "stop_sync('crm'). To wait for it again, call poll_sync('crm', '{sync_id}')."
)


@pytest.fixture
def ctrl_c(server: LocalRudderStack) -> Iterator[Callable[..., None]]:
    """Sends SIGINT to this process as soon as the server has some requests of an operation."""
    main = threading.main_thread().ident
    assert main is not None
    pressers = []

    def press(operation: str, count: int) -> None:
        while sum(request.operation == operation for request in server.requests) < count:
            time.sleep(0.01)
        signal.pthread_kill(main, signal.SIGINT)

    def begin(operation: str, count: int = 1) -> None:
        pressers.append(threading.Thread(target=press, args=(operation, count), daemon=True))
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
        ("run_canceled", 0, LEFT),
        ("always", 1, ": RudderStack was asked to stop it."),
        ("never", 0, LEFT),
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
    """Ctrl-C ends the wait. The sync is stopped only with `stop_on_termination="always"`, and
    otherwise the warning says how to stop it, and how to wait for it again."""
    server.set_script("crm", SyncScript(never_ends=True))
    settings = {"stop_on_termination": stop_on_termination, "poll_min_interval_seconds": 0.05}

    ctrl_c("get_sync")
    with resource_for(server, **settings) as rudderstack, pytest.raises(KeyboardInterrupt):
        rudderstack.sync_and_poll("crm")

    assert len(server.stops("crm")) == stops
    sync_id = server.syncs("crm")[0].id
    says = ending.format(sync_id=sync_id, url=server.url)
    assert logged_warnings(caplog) == [f"Interrupted. Sync {sync_id} of connection crm{says}"]


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
    """An interrupt before the start sends no start, and the warning says so."""
    server.add_fault(Fault("slow", operation="get_connection", seconds=60))

    ctrl_c("get_connection")
    with resource_for(server) as rudderstack, pytest.raises(KeyboardInterrupt):
        rudderstack.sync_and_poll("crm")

    assert server.starts() == []
    assert logged_warnings(caplog) == [
        "Interrupted. This call has started no sync of connection crm."
    ]


def test_interrupt__of_a_sync_of_another_client(
    server: LocalRudderStack, ctrl_c: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """If another client has started the sync, the warning does not say how to stop it."""
    sync_id = server.start_sync("crm", script=SyncScript(never_ends=True))

    ctrl_c("get_sync", 2)
    with resource_for(server) as rudderstack, pytest.raises(KeyboardInterrupt):
        rudderstack.poll_sync("crm", sync_id)

    (warning,) = logged_warnings(caplog)
    assert warning == (
        f"Interrupted. Sync {sync_id} of connection crm is left running. To wait for it again, "
        f"call poll_sync('crm', '{sync_id}')."
    )


def test_interrupt__of_a_run(
    server: LocalRudderStack, ctrl_c: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Of a run of a Profiles project, the warning says that it cannot be stopped."""
    server.add_project("profiles", RunScript(never_ends=True))

    ctrl_c("get_run")
    with resource_for(server) as rudderstack, pytest.raises(KeyboardInterrupt):
        rudderstack.run_source_and_poll("profiles")

    (warning,) = logged_warnings(caplog)
    assert warning.endswith("is left running: RudderStack offers no way to stop a run.")
