"""200 syncs of one minute on four Celery slots: single assets, groups, and deferred syncs.

On the cluster of the tests, which needs Debian's packages redis-server and postgresql. The clock of
the local RudderStack is ten times as fast, because single assets alone would take 50 minutes. The
processes of Dagster and the polling intervals of the library are not faster.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from benchmarks.cluster_ways import (
    GROUPS,
    SCALE,
    SENSOR_SECONDS,
    SYNCS,
    VISIBILITY_SECONDS,
    WAYS,
    connections_of,
)
from benchmarks.measure import measured_on
from benchmarks.report import Row, Section, Settings
from dagster_rudderstack.testing import SimulatedSync, SyncScript
from dagster_rudderstack_tests.cluster.cluster import Cluster, Setup, cluster, program
from dagster_rudderstack_tests.cluster.result import materialized_syncs
from dagster_rudderstack_tests.processes.harness import Run, wait_for

SLOTS_PER_WORKER = 2
SLOTS = 2 * SLOTS_PER_WORKER
SYNC_SECONDS = 60.0
WAIT_SECONDS = 1800.0
"""How long one of the three may take, also on a busy machine."""
SETTLE_SECONDS = 3.0 * SENSOR_SECONDS
"""Long enough for the sensor to report something twice, if it did."""
QUERY_SECONDS = 1.0
STEPS = {"single": SYNCS, "groups": GROUPS, "deferred": SYNCS}
TITLES = {
    "single": f"{SYNCS} single assets",
    "groups": f"{GROUPS} groups of {SYNCS // GROUPS}",
    "deferred": f"{SYNCS} single assets with `wait=False`",
}


@dataclass(frozen=True)
class Measured:
    """What one of the three ways has cost.

    Attributes:
        way: Its name.
        wall_seconds: Real seconds from the launch to the last materialization.
        slot_seconds: Real seconds of all steps together.
        starts: The number of syncs that were started.
        materializations: The number of materializations.
        most_running: How many syncs ran at the same time at most.
        problems: What is not as wanted, one sentence each.
    """

    way: str
    wall_seconds: float
    slot_seconds: float
    starts: int
    materializations: int
    most_running: int
    problems: Sequence[str]

    @property
    def slower_by(self) -> float:
        """How much longer a sync takes if its minute is a real one, in seconds."""
        return SYNC_SECONDS * (1 - 1 / SCALE)

    @property
    def real_wall_seconds(self) -> float:
        """The wall time with real minutes, calculated."""
        # The sensor too has its real interval, so it may report a deferred sync that much later.
        waits = {"single": SYNCS / SLOTS, "groups": 1.0, "deferred": 2.0}
        return self.wall_seconds + self.slower_by * waits[self.way]

    @property
    def real_slot_seconds(self) -> float:
        """The seconds of all steps with real minutes, calculated."""
        waiting_steps = {**STEPS, "deferred": 0}
        return self.slot_seconds + self.slower_by * waiting_steps[self.way]

    def line(self) -> str:
        """Return the row of the table."""
        cells = (
            TITLES[self.way],
            f"{self.wall_seconds:.0f} s",
            f"{self.slot_seconds:,.0f} s",
            f"{self.most_running}",
            f"{self.starts}",
            f"{self.materializations}",
            f"{self.real_wall_seconds / 60:.0f} min",
            f"{self.real_slot_seconds / 60:.0f} min",
        )
        return f"| {' | '.join(cells)} |"


def section(_settings: Settings) -> Section:
    """Measure the three ways once each, and return the rows and the table."""
    try:
        for name in ("redis-server", "initdb"):
            program(name)
    except FileNotFoundError as error:
        print(f"cluster: not measured. {error}", file=sys.stderr)
        return Section([], f"## {SYNCS} syncs on {SLOTS} Celery slots\n\nNot measured. {error}")
    measured = {each.way: each for each in _measure_all()}
    return Section(_rows(measured), _text(list(measured.values())))


def _rows(measured: dict[str, Measured]) -> list[Row]:
    single = measured["single"]
    problems = [problem for each in measured.values() for problem in each.problems]
    rows = [
        Row(
            f"{SYNCS} syncs of 1 min on {SLOTS} Celery slots, three ways (clock {SCALE} times as "
            "fast): starts and materializations",
            "",
            "; ".join(problems)
            or ", ".join(
                f"{each.starts} and {each.materializations}" for each in measured.values()
            ),
            "",
            f"{SYNCS} each",
            not problems,
        )
    ]
    for way in ("groups", "deferred"):
        share = measured[way].slot_seconds / single.slot_seconds
        rows.append(
            Row(f"Same syncs: time of slots, {TITLES[way]}", "", f"{share:.0%} of single assets")
        )
    return rows


def _text(measured: Sequence[Measured]) -> str:
    lines = "\n".join(each.line() for each in measured)
    return f"""## {SYNCS} syncs on {SLOTS} Celery slots

{measured_on()} One run with {SYNCS} syncs of one minute, on two Celery workers with
{SLOTS_PER_WORKER} slots each, Redis and PostgreSQL, all on the same machine. To save time, the
clock of the local RudderStack is {SCALE} times as fast: a sync takes {SYNC_SECONDS / SCALE:.0f} s,
and the sensor's interval is {SENSOR_SECONDS} s instead of 60 s. Nothing else is faster: processes
start as slowly as they do, and a step polls its sync every second, as by default, which is
{SCALE} s of the sync.

"Duration" is from the launch to the last materialization, and "slots" the duration of all steps
together. "Real" is the same with syncs of a real minute, calculated: each step that waits for its
syncs takes {SYNC_SECONDS - SYNC_SECONDS / SCALE:.0f} s longer.

| | duration | slots | syncs at once | starts | materializations | duration, real | slots, real |
|---|---|---|---|---|---|---|---|
{lines}"""


# --- measuring


def _measure_all() -> list[Measured]:
    """Run the three ways one after the other, so that each has all slots."""
    folder = Path(tempfile.mkdtemp(prefix="benchmark-cluster-"))
    setup = Setup(
        "benchmarks.cluster_definitions",
        visibility_seconds=VISIBILITY_SECONDS,
        steps_per_worker=SLOTS_PER_WORKER,
        scale=SCALE,
    )
    with cluster(folder, setup) as running:
        script = SyncScript(duration_seconds=SYNC_SECONDS, rows_total=100)
        for way in WAYS:
            for connection_id in connections_of(way):
                running.server.add_connection(connection_id, script=script)
        measured = [_measure(running, way) for way in WAYS]
    shutil.rmtree(folder)
    return measured


def _measure(running: Cluster, way: str) -> Measured:
    """Launch one run, and wait for its end and for all materializations."""
    keys = [dg.AssetKey(each) for each in connections_of(way)]
    instance = running.home.instance
    launched_at = time.time()
    run = running.dagster.launch(job=way, config={"ops": {}})

    def is_over() -> bool:
        return run.is_over and len(_materialized(instance, keys)) == SYNCS

    wait_for(is_over, f"the syncs of {way}", WAIT_SECONDS, QUERY_SECONDS)
    times = _materialized(instance, keys)
    time.sleep(SETTLE_SECONDS)
    syncs = [each for name in connections_of(way) for each in running.server.syncs(name)]
    reported = [each for key in keys for each in materialized_syncs(instance, key.path[0])]
    starts = len([each for name in connections_of(way) for each in running.server.starts(name)])
    measured = Measured(
        way,
        wall_seconds=max(times) - launched_at,
        slot_seconds=_slot_seconds(run),
        starts=starts,
        materializations=len(reported),
        most_running=_most_running(syncs),
        problems=_problems(way, run, starts, syncs, reported),
    )
    print(f"  {measured.line()}", file=sys.stderr, flush=True)
    return measured


def _materialized(instance: dg.DagsterInstance, keys: Sequence[dg.AssetKey]) -> list[float]:
    """Return when each of the assets was last materialized, without those that never were."""
    entries = [record.asset_entry for record in instance.get_asset_records(keys)]
    records = [entry.last_materialization_record for entry in entries]
    return [record.timestamp for record in records if record is not None]


def _slot_seconds(run: Run) -> float:
    """Return the duration of all steps together."""
    started = {each.step_key: each.timestamp for each in run.events(dg.DagsterEventType.STEP_START)}
    ended = {
        each.step_key: each.timestamp
        for kind in (dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE)
        for each in run.events(kind)
    }
    return sum(at - started[key] for key, at in ended.items())


def _most_running(syncs: Sequence[SimulatedSync]) -> int:
    """Return how many syncs ran at the same time at most."""
    return max(
        sum(other.started_at <= sync.started_at < (other.finished_at or 0) for other in syncs)
        for sync in syncs
    )


def _problems(
    way: str,
    run: Run,
    starts: int,
    syncs: Sequence[SimulatedSync],
    reported: Sequence[str],
) -> list[str]:
    """Return what is not as wanted: each sync is started and materialized once."""
    numbers = (
        ("starts", starts, SYNCS),
        ("syncs", len(syncs), SYNCS),
        ("materializations", len(reported), SYNCS),
        ("steps", run.step_starts, STEPS[way]),
    )
    problems = [
        f"{way} has {found} {what}, not {wanted}"
        for what, found, wanted in numbers
        if found != wanted
    ]
    if sorted(reported) != sorted(sync.id for sync in syncs):
        problems.append(f"{way} has materialized other syncs than were started, or some twice")
    if run.status != "SUCCESS":
        problems.append(f"the run of {way} ended as {run.status}")
    return problems
