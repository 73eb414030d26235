"""A slow answer holds a sync no longer than the sync's own timeout."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.errors import SyncTimedOutError
from dagster_rudderstack.testing import Fault, LocalRudderStack, SyncScript
from dagster_rudderstack_tests.api.raw_server import TOKEN, Answer, RawServer, Seen, in_json

LIMIT_SECONDS = 15


def never_ending() -> Iterator[bytes]:
    """Send a head that never ends, for half a minute."""
    yield b"HTTP/1.1 200 OK\r\nX: "
    for _ in range(300):
        time.sleep(0.1)
        yield b"x"


@pytest.mark.parametrize(
    "slow", ["POST /v2/retl-connections/crm/start", "GET /v2/retl-connections/crm/syncs/s1"]
)
def test_timeout(slow: str) -> None:
    """The sync times out while an answer drips, although a request may take an hour."""

    def answer(seen: Seen) -> Answer:
        if f"{seen.method} {seen.target}" == slow:
            return never_ending()
        return in_json({"syncId": "s1"} if seen.method == "POST" else {"syncs": []})

    with (
        RawServer(answer) as server,
        RudderStackResource(
            access_token=TOKEN,
            api_url=server.url,
            read_timeout_seconds=3600,
            sync_timeout_seconds=2,
            stop_on_timeout=False,
            check_connection=False,
        ) as rudderstack,
    ):
        began = time.monotonic()
        with pytest.raises(SyncTimedOutError):
            rudderstack.sync_and_poll("crm")

        assert time.monotonic() - began < LIMIT_SECONDS
        assert slow in server.targets


def test_timeout__details(server: LocalRudderStack) -> None:
    """At the timeout the sync is stopped, although its details do not arrive."""
    server.add_connection("crm", script=SyncScript(duration_seconds=3600))
    server.add_fault(Fault("slow", operation="get_sync", seconds=60, times=None))
    with RudderStackResource(
        access_token=server.access_token, api_url=server.url, sync_timeout_seconds=2
    ) as rudderstack:
        began = time.monotonic()
        with pytest.raises(SyncTimedOutError):
            rudderstack.sync_and_poll("crm")

    assert time.monotonic() - began < LIMIT_SECONDS
    assert [each.operation for each in server.requests if each.took_effect] == ["start", "stop"]


RUN = """
import sys
import dagster as dg
from dagster_rudderstack import RudderStackResource, build_rudderstack_sync_asset

rudderstack = RudderStackResource(
    access_token=sys.argv[1],
    api_url=sys.argv[2],
    read_timeout_seconds=3600,
    check_connection=False,
    stop_on_termination="always",
)
asset = build_rudderstack_sync_asset(connection_id="crm")
dg.materialize([asset], resources={"rudderstack": rudderstack})
"""


@pytest.mark.processes
def test_interrupt() -> None:
    """An interrupt stops the sync while the answer to a poll drips."""
    path = "/v2/retl-connections/crm"
    running = {"id": "s1", "status": "running"}
    polled = threading.Event()

    def answer(seen: Seen) -> Answer:
        if seen.method == "POST":
            return in_json({"syncId": "s1"})
        if seen.target != f"{path}/syncs/s1":
            return in_json({"syncs": [running] if polled.is_set() else []})
        if polled.is_set():
            return in_json(running)
        polled.set()
        return never_ending()

    with (
        RawServer(answer) as server,
        subprocess.Popen(
            [sys.executable, "-c", RUN, TOKEN, server.url], stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        assert polled.wait(60)
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=LIMIT_SECONDS)

    assert f"POST {path}/stop" in server.targets
    assert "Interrupted. Sync s1 of connection crm: RudderStack was asked to stop it" in log
