"""10,000 connections under one polling sensor for an hour, in which another client starts syncs.

The sensor runs in Dagster's daemon, with the default settings and 100 ms per answer. The clock of
the local RudderStack is six times as fast, so the hour takes ten minutes, and a tick has six times
as many syncs to report.
"""

import collections
import contextlib
import itertools
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

# The ticks and the cursor of a sensor have no public names.
from dagster._core.scheduler.instigation import InstigatorTick, SensorInstigatorData

from benchmarks.measure import Numbers, measured_on
from benchmarks.report import Row, Section, Settings
from benchmarks.sensor_load_plan import (
    COUNT_VARIABLE,
    HOUR,
    SCALE,
    SEED,
    connections,
    planned_syncs,
)
from dagster_rudderstack import MetadataKey
from dagster_rudderstack.testing import (
    LocalRudderStack,
    RecordedRequest,
    RefusedError,
    ScaledClock,
    SyncScript,
)
from dagster_rudderstack_tests.processes.harness import Home, dagster_command, end_group, wait_for

COUNT = int(os.environ.get(COUNT_VARIABLE, "10000"))
LATENCY_SECONDS = 0.1
EARLIER_SYNCS = 10
"""How many syncs of each connection ended before the hour. The sensor does not report them."""
PASS_SECONDS = 600.0
"""How long the sensor may take for all connections, also on a busy machine."""
DAGSTER_LIMIT = 60.0
POLLED = re.compile(r" - Polled [\d,]+ of .* in ([\d.]+) s")
"""What the sensor logs at the end of its evaluation. Dagster's limit is for the evaluation alone,
and not for storing the events."""
SAME_TICK_SECONDS = 5.0
"""Two requests for a connection within this time are of the same tick."""


@dataclass(frozen=True)
class Expected:
    """A sync that was started: how it is to be reported, and when it ended in real time."""

    kind: str
    rows_failed: int
    ended_at: float


@dataclass(frozen=True)
class Report:
    """An event that reports a sync."""

    kind: str
    rows_failed: int
    stored_at: float


@dataclass(frozen=True)
class Tick:
    """A tick: its status, its duration with the storage of its events, cursor and requests."""

    status: str
    seconds: float
    cursor: int
    requests: int


@dataclass(frozen=True)
class Measured:
    """What the sensor has done in the hour.

    Attributes:
        expected: The syncs that were started in the hour, by id.
        reports: The events of all assets, by id of the sync.
        ticks: The ticks since the beginning of the hour.
        evaluations: How long the sensor itself took, in seconds of each tick.
        gaps: Real seconds between two polls of the same connection.
    """

    expected: dict[str, Expected]
    reports: dict[str, list[Report]]
    ticks: list[Tick]
    evaluations: list[float]
    gaps: list[float]

    def problems(self) -> list[str]:
        """Return how many syncs are lost, doubled, wrong, or should not be reported."""
        counts = {
            "lost": [each for each in self.expected if each not in self.reports],
            "doubled": [each for each, found in self.reports.items() if len(found) > 1],
            "not of this hour": [each for each in self.reports if each not in self.expected],
            "reported wrongly": [
                each for each, wanted in self.expected.items() if self._is_wrong(each, wanted)
            ],
        }
        return [f"{len(found):,} {what}: {found[:5]}" for what, found in counts.items() if found]

    def _is_wrong(self, sync_id: str, wanted: Expected) -> bool:
        return any(
            (found.kind, found.rows_failed) != (wanted.kind, wanted.rows_failed)
            for found in self.reports.get(sync_id, [])
        )

    def delays(self) -> Numbers:
        """Return the real seconds from the end of each sync until it was reported."""
        return Numbers(
            [
                found[0].stored_at - self.expected[each].ended_at
                for each, found in self.reports.items()
                if each in self.expected
            ]
        )


def section(_settings: Settings) -> Section:
    """Measure one hour, and return the rows and the text."""
    measured = _measure()
    problems = measured.problems()
    longest = max(measured.evaluations)
    failed = sum(tick.status == "FAILURE" for tick in measured.ticks)
    return Section(
        [
            Row(
                f"{COUNT:,} connections under one sensor for 1 h (clock {SCALE} times as fast): "
                "syncs of another client, each reported once",
                "none",
                "; ".join(problems) or f"{len(measured.expected):,}",
                "",
                "none lost, none doubled",
                not problems,
            ),
            Row(
                f"Same hour: longest of {len(measured.ticks)} evaluations, with 100 ms per answer",
                "none",
                f"{longest:.1f} s, {failed} failed",
                "",
                "under 60 s, Dagster's limit",
                longest < DAGSTER_LIMIT and not failed,
            ),
        ],
        _text(measured),
    )


def _text(measured: Measured) -> str:
    kinds = collections.Counter(each.kind for each in measured.expected.values())
    rejected = sum(each.rows_failed > 0 for each in measured.expected.values())
    syncs_per_tick = len(measured.expected) / len(measured.ticks)
    seconds = Numbers([tick.seconds for tick in measured.ticks])
    requests = Numbers([float(tick.requests) for tick in measured.ticks])
    return f"""## An hour of {COUNT:,} connections under one sensor

{measured_on()} Dagster's daemon runs the sensor on SQLite, with 100 ms per answer. In the hour,
another client starts {len(measured.expected):,} syncs at random (seed {SEED}):
{kinds["materialization"]:,} succeed, {rejected:,} of them with rejected rows, and
{kinds["observation"]:,} fail. Each connection has {EARLIER_SYNCS} earlier syncs. The clock of the
local RudderStack is {SCALE} times as fast, and so is the interval of the sensor: {60 // SCALE} s
instead of 60 s. A tick takes longer, so each begins when the one before has ended. All other
settings have their defaults, and all durations are real seconds.

| | |
|---|---|
| Ticks | {len(measured.ticks)}, with {syncs_per_tick:.0f} syncs each |
| Duration of a tick: the sensor itself | {Numbers(measured.evaluations).text(" s")} |
| Duration of a tick, with the storage of its events by the daemon | {seconds.text(" s")} |
| Requests per tick | {requests.text(digits=0)} |
| Characters of the cursor | {max(tick.cursor for tick in measured.ticks):,} |
| From one poll of a connection to the next | {Numbers(measured.gaps).text(" s")} |
| From the end of a sync until it is reported | {measured.delays().text(" s")} |"""


# --- measuring


@dataclass(frozen=True)
class Beginning:
    """When the hour began, and the syncs that were started in it.

    Attributes:
        at: In epoch seconds.
        monotonic: On the monotonic clock.
        printed: How much the daemon had printed.
        scripts: The scripts of the syncs, by id.
    """

    at: float
    monotonic: float
    printed: int
    scripts: Mapping[str, SyncScript] = field(default_factory=dict)


class LoadHome(Home):
    """A DAGSTER_HOME, and the number of connections."""

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables of the processes."""
        return {**super().variables, COUNT_VARIABLE: str(COUNT)}


def _measure() -> Measured:
    clock = ScaledClock(SCALE)
    with (
        LocalRudderStack(clock=clock, latency_seconds=LATENCY_SECONDS) as server,
        tempfile.TemporaryDirectory(prefix="benchmark-sensor-") as folder,
    ):
        for connection_id in connections(COUNT):
            server.add_connection(connection_id)
            for _ in range(EARLIER_SYNCS):
                server.start_sync(connection_id)
        with contextlib.closing(LoadHome(Path(folder), server)) as home:
            with _daemon(home):
                began = _hour(home, server, clock)
            return _measured(home, server, clock, began)


@contextlib.contextmanager
def _daemon(home: Home) -> Iterator[None]:
    command = dagster_command("dagster-daemon", "run", "-m", "benchmarks.sensor_load_definitions")
    process = home.start(command, "daemon")
    try:
        yield
    except BaseException:
        print(home.printed("daemon")[-5000:], file=sys.stderr)
        raise
    finally:
        end_group(process)


def _hour(home: Home, server: LocalRudderStack, clock: ScaledClock) -> Beginning:
    """Let the hour pass after the first pass, and wait until the sensor has seen its syncs."""
    wait_for(lambda: _polled_connections(home) == COUNT, "the first pass", PASS_SECONDS, 1)
    began = Beginning(time.time(), time.monotonic(), len(home.printed("daemon")))
    _say("The first pass has ended, and the hour begins.")
    scripts = _start_syncs(server, clock)
    _say(f"The hour has ended, with {len(scripts):,} syncs.")
    # The first of these passes reports what is left, the second what would be reported twice.
    for _ in range(2):
        _wait_for_another_pass(home, server)
        _say("All connections were polled again.")
    return replace(began, scripts=scripts)


def _measured(
    home: Home, server: LocalRudderStack, clock: ScaledClock, began: Beginning
) -> Measured:
    """Read what the sensor has done since the beginning of the hour."""
    arrived = [each for each in server.requests if each.monotonic >= began.monotonic]
    times = [began.at - began.monotonic + each.monotonic for each in arrived]
    return Measured(
        _expected(server, clock, began.scripts),
        _reports(home),
        [
            Tick(
                tick.status.value,
                tick.end_timestamp - tick.timestamp,
                len(tick.cursor or ""),
                sum(tick.timestamp <= at <= tick.end_timestamp for at in times),
            )
            for tick in _finished_ticks(home)
            if tick.timestamp >= began.at and tick.end_timestamp is not None
        ],
        [float(each) for each in POLLED.findall(home.printed("daemon")[began.printed :])],
        _gaps([each for each in arrived if each.operation == "list_syncs"]),
    )


def _wait_for_another_pass(home: Home, server: LocalRudderStack) -> None:
    """Wait until all connections were polled again, and the events of that are stored."""
    since = time.monotonic()

    def are_polled() -> bool:
        lists = [each for each in server.requests if each.operation == "list_syncs"]
        return len({each.connection_id for each in lists if each.monotonic >= since}) == COUNT

    wait_for(are_polled, "another pass", PASS_SECONDS, 5)
    ended = len(_finished_ticks(home))
    wait_for(lambda: len(_finished_ticks(home)) > ended, "its last tick", PASS_SECONDS, 1)


def _start_syncs(server: LocalRudderStack, clock: ScaledClock) -> dict[str, SyncScript]:
    """Start the syncs of the hour at their times. Return their scripts by id."""
    scripts = {}
    began = clock.monotonic()
    for planned in planned_syncs(connections(COUNT)):
        clock.sleep(began + planned.at - clock.monotonic())
        # On a busy machine, a start may come so late that the next one is refused.
        with contextlib.suppress(RefusedError):
            sync_id = server.start_sync(planned.connection_id, "schedule", script=planned.script)
            scripts[sync_id] = planned.script
    clock.sleep(began + HOUR - clock.monotonic())
    return scripts


def _expected(
    server: LocalRudderStack, clock: ScaledClock, scripts: Mapping[str, SyncScript]
) -> dict[str, Expected]:
    """Return how each sync of the hour is to be reported. All of them have ended."""
    expected = {}
    for sync in server.syncs():
        script = scripts.get(sync.id)
        if script is None:
            continue
        assert sync.finished_at is not None, sync
        kind = "materialization" if script.status == "succeeded" else "observation"
        ended_at = clock.origin + (sync.finished_at - clock.origin) / clock.scale
        expected[sync.id] = Expected(kind, sync.rows_failed or 0, ended_at)
    return expected


def _reports(home: Home) -> dict[str, list[Report]]:
    """Return all materializations and observations, by id of their sync."""
    found: dict[str, list[Report]] = collections.defaultdict(list)
    for key in home.instance.get_asset_keys():
        for fetch in (home.instance.fetch_materializations, home.instance.fetch_observations):
            for record in fetch(key, limit=1000).records:
                event = record.asset_materialization or record.asset_observation
                assert event is not None
                rejected = event.metadata.get(MetadataKey.ROWS_FAILED)
                report = Report(
                    "materialization" if record.asset_materialization else "observation",
                    int(str(rejected.value)) if rejected else 0,
                    record.timestamp,
                )
                found[str(event.metadata[MetadataKey.SYNC_ID].value)].append(report)
    return found


def _polled_connections(home: Home) -> int:
    """Return how many connections the cursor of the sensor knows."""
    texts = [
        state.instigator_data.cursor
        for state in home.instance.all_instigator_state()
        if isinstance(state.instigator_data, SensorInstigatorData)
    ]
    return max((len(json.loads(text)["marks"]) for text in texts if text), default=0)


def _finished_ticks(home: Home) -> list[InstigatorTick]:
    """Return the finished ticks of the sensor, oldest first."""
    ticks = [
        tick
        for state in home.instance.all_instigator_state()
        for tick in home.instance.get_ticks(state.instigator_origin_id, state.selector_id)
    ]
    return [tick for tick in ticks if tick.end_timestamp is not None][::-1]


def _gaps(requests: Sequence[RecordedRequest]) -> list[float]:
    """Return the seconds between two polls of the same connection."""
    at: dict[str | None, list[float]] = collections.defaultdict(list)
    for request in requests:
        at[request.connection_id].append(request.monotonic)
    gaps = [late - early for times in at.values() for early, late in itertools.pairwise(times)]
    return [gap for gap in gaps if gap > SAME_TICK_SECONDS]


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
