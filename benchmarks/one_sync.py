"""Waiting for one sync: the delay after its end, the requests and the TCP connections."""

import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Numbers, ratio_text, watch
from benchmarks.report import Row, Section, Settings
from dagster_rudderstack.testing import LocalRudderStack, ScaledClock, SyncScript

SCRIPT = Path(__file__).with_name("one_sync_client.py")
SHORT_SYNCS = 12
HOUR_SYNCS = 3
HOUR = 3600.0
SCALE = 60.0
"""An hour takes a minute. A request of 5 ms takes 0.3 s on this clock."""


@dataclass(frozen=True)
class Waited:
    """The cost of waiting for syncs.

    Attributes:
        delay_seconds: Seconds from the end of each sync to the return of the call.
        requests: Requests for each sync.
        tcp_connections: TCP connections for each sync.
    """

    delay_seconds: Numbers
    requests: Numbers
    tcp_connections: Numbers


def section(settings: Settings) -> Section:
    """Measure both packages, and return the rows."""
    short = {peer: _short(peer, python, SHORT_SYNCS) for peer, python in settings.pythons()}
    hour = {peer: _hour(peer, python, HOUR_SYNCS) for peer, python in settings.pythons()}
    alone = [
        {peer: _short(peer, python, 1) for peer, python in settings.pythons()}
        for _ in range(settings.repeats)
    ]
    tcp = {
        peer: Numbers([each[peer].tcp_connections.median for each in alone])
        for peer in ("ours", "vendor")
    }
    ours, vendor = short["ours"], short["vendor"]
    return Section(
        [
            Row(
                f"Delay from the end of a sync of 2.5 to 3.5 s to the return ({SHORT_SYNCS} syncs)",
                vendor.delay_seconds.text(" s", 2),
                ours.delay_seconds.text(" s", 2),
                ratio_text(vendor.delay_seconds.over(ours.delay_seconds)),
                "median under 0.7 s",
                ours.delay_seconds.median < 0.7,
            ),
            Row(
                "Requests for a 1 h sync (clock 60 times as fast)",
                hour["vendor"].requests.text(digits=0),
                hour["ours"].requests.text(digits=0),
                ratio_text(hour["vendor"].requests.over(hour["ours"].requests)),
                "at most 200",
                max(hour["ours"].requests.values) <= 200,
            ),
            Row(
                "Delay from the end of a 1 h sync to the return",
                hour["vendor"].delay_seconds.text(" s"),
                hour["ours"].delay_seconds.text(" s"),
                "",
                "within 30 s",
                max(hour["ours"].delay_seconds.values) <= 30,
            ),
            Row(
                "TCP connections for a 3 s sync",
                tcp["vendor"].text(digits=0),
                tcp["ours"].text(digits=0),
                ratio_text(tcp["vendor"].over(tcp["ours"])),
                "1",
                max(tcp["ours"].values) == 1,
            ),
        ]
    )


def _short(peer: str, python: str, count: int) -> Waited:
    """Sync connections whose syncs take 2.5 to 3.5 s."""
    lengths = [2.5 + number / max(1, count - 1) for number in range(count)]
    return _wait(peer, python, lengths, 1.0)


def _hour(peer: str, python: str, count: int) -> Waited:
    """Sync connections whose syncs take about an hour."""
    lengths = [HOUR + 7 * number for number in range(count)]
    return _wait(peer, python, lengths, SCALE)


def _wait(peer: str, python: str, lengths: list[float], scale: float) -> Waited:
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
    return Waited(
        Numbers([_on(clock, returned[each]) - ends[each] for each in ids]),
        Numbers([sum(r.connection_id == each for r in requests) for each in ids]),
        Numbers(
            [len({r.client_port for r in requests if r.connection_id == each}) for each in ids]
        ),
    )


def _on(clock: ScaledClock, real: float) -> float:
    """Return what the clock showed at a real time."""
    return clock.origin + (real - clock.origin) * clock.scale
