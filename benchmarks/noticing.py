"""Waiting for a sync, each package in its turn: its end noticed, its requests, its connections."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Numbers, watch
from dagster_rudderstack.testing import LocalRudderStack, ScaledClock, SyncScript

SCRIPT = Path(__file__).with_name("waiting.py")
HOUR = 3600.0
SCALE = 60.0
"""An hour in a minute: a request that takes 5 ms takes 0.3 s of that clock."""


@dataclass(frozen=True)
class Noticed:
    """What it took to wait for syncs of one length.

    Attributes:
        late_seconds: from the end of a sync to the return of the call.
        requests: per sync.
        tcp_connections: per sync.
    """

    late_seconds: Numbers
    requests: Numbers
    tcp_connections: Numbers


def quick(peer: str, python: str, count: int) -> Noticed:
    """Sync connections whose syncs take 2.5 to 3.5 s."""
    lengths = [2.5 + number / max(1, count - 1) for number in range(count)]
    return _noticed(peer, python, lengths, 1.0)


def hour(peer: str, python: str, count: int) -> Noticed:
    """Sync connections whose syncs take about an hour."""
    lengths = [HOUR + 7 * number for number in range(count)]
    return _noticed(peer, python, lengths, SCALE)


def _noticed(peer: str, python: str, lengths: list[float], scale: float) -> Noticed:
    clock = ScaledClock(scale)
    with LocalRudderStack(clock=clock) as server:
        ids = [f"c{number}" for number in range(len(lengths))]
        for connection_id, seconds in zip(ids, lengths, strict=True):
            script = SyncScript(duration_seconds=seconds, rows_total=100)
            server.add_connection(connection_id, script=script)
        command = [python, str(SCRIPT), peer, server.url, server.access_token, str(scale), *ids]
        returned = json.loads(watch(command, cwd=SCRIPT.parent).output.splitlines()[-1])
        ends = {sync.connection_id: sync.finished_at or 0.0 for sync in server.syncs()}
        requests = server.requests
    assert len(ends) == len(ids)
    return Noticed(
        Numbers([_on(clock, returned[each]) - ends[each] for each in ids]),
        Numbers([sum(r.connection_id == each for r in requests) for each in ids]),
        Numbers(
            [len({r.client_port for r in requests if r.connection_id == each}) for each in ids]
        ),
    )


def _on(clock: ScaledClock, real: float) -> float:
    """Return what the clock showed at a real time."""
    return clock.origin + (real - clock.origin) * clock.scale


if __name__ == "__main__":
    print(quick("ours", sys.executable, 4))
