"""A slow answer holds a sync no longer than the sync's own timeout."""

import time
from collections.abc import Iterator

import pytest

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.errors import SyncTimedOutError
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
    target = slow.format("/v2/retl-connections/crm")

    def answer(seen: Seen) -> Answer:
        if f"{seen.method} {seen.target}" == target:
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
        assert target in server.targets
