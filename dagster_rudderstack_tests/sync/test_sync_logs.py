"""Finding out where rejected rows are listed: asked once, only if needed, and never in the way."""

import logging
from typing import NoReturn

import pytest

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.api.client import RudderStackClient
from dagster_rudderstack.api.models import Connection, Sync
from dagster_rudderstack.sync import sync_logs
from dagster_rudderstack.sync.failed_rows import SyncLog
from dagster_rudderstack.sync.sync_logs import OUTAGE_SECONDS, SyncLogs
from dagster_rudderstack.testing import Fault, LocalRudderStack, ManualClock
from dagster_rudderstack_tests.step.world import resource_of

LOG = logging.getLogger(__name__)


@pytest.fixture
def server(server: LocalRudderStack) -> LocalRudderStack:
    """A server with two connections."""
    server.add_source("orders", definition="snowflake", config={"primaryKey": "ID"})
    server.add_connection("crm", "orders")
    server.add_connection("ads", "orders")
    return server


def logs_of(resource: RudderStackResource, clock: ManualClock | None = None) -> SyncLogs:
    return SyncLogs(resource.get_client, LOG, {}, clock or ManualClock())


def a_sync(**fields: object) -> Sync:
    rejected = {"failed": {"total": 3}}
    return Sync.model_validate({"id": "s1", "status": "succeeded", "metrics": rejected, **fields})


def paths(server: LocalRudderStack) -> list[str]:
    return [request.path.removeprefix("/v2/") for request in server.requests]


def test_asked_once(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """The connection and its source are read once, and then known."""
    logs = logs_of(rudderstack)

    found = [logs.failed_rows("crm", a_sync(id=id_)) for id_ in ("s1", "s2")]

    assert paths(server) == ["retl-connections/crm", "retl-sources/orders"]
    assert logs.find("crm") == SyncLog("snowflake", "ID")
    assert [each is not None and each.sql is not None for each in found] == [True, True]


@pytest.mark.parametrize(
    "sync",
    [
        None,
        a_sync(metrics={"failed": {"total": 0}}),
        a_sync(metrics=None),
        a_sync(status="running"),
        a_sync(status="unheard-of"),
    ],
)
def test_nothing_rejected(
    server: LocalRudderStack, rudderstack: RudderStackResource, sync: Sync | None
) -> None:
    """Without rejected rows, or while the sync runs, nothing is asked."""
    assert logs_of(rudderstack).failed_rows("crm", sync) is None
    assert paths(server) == []


def test_known(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """What discovery knows is not asked for."""
    found = logs_of(rudderstack).failed_rows("crm", a_sync(), SyncLog("bigquery"))

    assert found is not None
    assert "`rudderstack_`.`sync_log`" in (found.sql or "")
    assert paths(server) == []


def test_switched_off(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """If the connection writes no log, its source does not matter."""
    off = {"syncLogsConfig": {"enabled": False}}
    server.update_connection("crm", wire_fields={"syncSettings": off})

    found = logs_of(rudderstack).failed_rows("crm", a_sync())

    assert found is not None
    assert "Retain sync logs" in found.note
    assert paths(server) == ["retl-connections/crm"]


@pytest.mark.parametrize("status", [403, 404, 500])
@pytest.mark.parametrize(
    ("operation", "asked"),
    [("get_connection", ["retl-connections/crm"]), ("get_source", None)],
)
def test_refused(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    caplog: pytest.LogCaptureFixture,
    operation: str,
    asked: list[str] | None,
    status: int,
) -> None:
    """One try. Then the SQL is a general one, and a line of the log says why."""
    server.add_fault(Fault(kind="status", status=status, operation=operation))
    logs = logs_of(rudderstack)

    with caplog.at_level(logging.INFO):
        found = [logs.failed_rows("crm", a_sync(id=id_)) for id_ in ("s1", "s2")]

    assert paths(server) == (asked or ["retl-connections/crm", "retl-sources/orders"])
    assert all(each and "FROM _rudderstack.sync_log" in (each.sql or "") for each in found)
    (line,) = (record.getMessage() for record in caplog.records if record.name == LOG.name)
    assert "rejected rows of connection crm" in line
    assert f"answered {status}" in line


def test_outage(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """After a request without an answer nothing is asked for a minute."""
    clock = ManualClock()
    logs = logs_of(rudderstack, clock)
    server.close()

    assert logs.find("crm") == SyncLog()

    server.start()
    clock.advance(OUTAGE_SECONDS - 1)
    assert logs.find("ads") == SyncLog()
    assert paths(server) == []
    server.add_connection("mail", "orders")
    clock.advance(1)
    assert logs.find("mail").warehouse == "snowflake"


def test_budget(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """A step stops asking when it has asked for half a minute in all."""
    clock = ManualClock()
    logs = SyncLogs(rudderstack.get_client, LOG, {}, clock.monotonic)
    send = rudderstack.get_client().get_connection

    def slow(connection_id: str) -> Connection:
        clock.advance(16)
        return send(connection_id)

    rudderstack.get_client().get_connection = slow  # type: ignore[method-assign]
    server.add_connection("third", "orders")

    found = [logs.find(each).warehouse for each in ("crm", "ads", "third")]

    assert found == ["snowflake", "snowflake", None]


def test_bug(server: LocalRudderStack) -> None:
    """An unexpected error does not fail a sync that has succeeded."""

    def broken() -> NoReturn:
        raise ZeroDivisionError

    assert SyncLogs(broken, LOG, {}).find("crm") == SyncLog()
    assert paths(server) == []


def test_pause(server: LocalRudderStack, rudderstack: RudderStackResource) -> None:
    """If RudderStack has asked for a long pause, the result does not wait for its end."""
    rudderstack.get_client()._transport._throttle.pause(60)

    assert logs_of(rudderstack).find("crm") == SyncLog()
    assert paths(server) == []


def test_patience(server: LocalRudderStack) -> None:
    """The requests have a client of their own, which waits for an answer for a short time only."""
    resource = resource_of(server, read_timeout_seconds=60)
    logs = resource.sync_logs
    logs.find("crm")

    client = logs._api
    assert isinstance(client, RudderStackClient)
    timeout = client._transport._settings.requests.read_timeout_seconds
    assert timeout == sync_logs.PATIENCE_SECONDS
    assert paths(server) == ["retl-connections/crm", "retl-sources/orders"]
    # Another step of the process knows what this one has found.
    assert resource.sync_logs.find("crm") == SyncLog("snowflake", "ID")
    assert len(paths(server)) == 2
