"""The random kills: what a seed decides, and what counts as a violation."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence

import dagster as dg
import pytest

from dagster_rudderstack import MetadataKey
from dagster_rudderstack.testing import LocalRudderStack, ManualClock, SyncScript
from dagster_rudderstack_tests.cluster.kill_plan import KINDS, Victim, assets_of, plan_of
from dagster_rudderstack_tests.cluster.kill_report import (
    ConnectionFacts,
    Report,
    RunFacts,
    Verdict,
    counts,
    evidence,
    verdict_of,
)
from dagster_rudderstack_tests.cluster.result import CASE_TAG, Case
from dagster_rudderstack_tests.cluster.service import family
from dagster_rudderstack_tests.processes.harness import wait_for

CASE = Case("single_00", "single", {"crm": 1.0})
FAILED = RunFacts("first", "FAILURE")
RETRIED = RunFacts("second", "SUCCESS", "first")


def judged(
    runs: Sequence[RunFacts] = (RunFacts("first", "SUCCESS"),),
    *,
    owned: Sequence[str] = ("sync",),
    starts: int = 1,
    stops: int = 0,
    running: Sequence[str] = (),
    reported_by: Sequence[str] = ("first",),
    reported: str = "sync",
) -> Verdict:
    """Return the verdict about a run with one sync, by default about one that is as wanted."""
    reports = [Report(reported, run_id) for run_id in reported_by]
    found = ConnectionFacts("crm", owned, starts, stops, running, reports)
    return Verdict(CASE, runs, [found])


# --- what a seed decides


def test_plan__repeatable() -> None:
    """A seed always decides the same, and another seed decides something else."""
    assert plan_of(1, 50, 300) == plan_of(1, 50, 300)
    assert plan_of(1, 50, 300) != plan_of(2, 50, 300)


def test_plan() -> None:
    """In five minutes, everything that can be killed is killed, while runs of each kind begin."""
    plan = plan_of(1, 50, 300)

    assert len(plan.launches) == 50
    assert {launch.case.title for launch in plan.launches} == set(KINDS)
    assert all(launch.at <= 180 for launch in plan.launches)
    assert {kill.victim for kill in plan.kills} == set(Victim)
    assert 43 <= len(plan.kills) <= 100
    assert all(kill.at < 300 for kill in plan.kills)


def test_plan__connections() -> None:
    """Each run has connections of its own."""
    names = [name for each in plan_of(1, 5, 60).launches for name in each.case.seconds]

    assert len(set(names)) == len(names) == 7
    assert assets_of(1) == ("group_01_a", "group_01_b", "group_01_c")


def test_plan__assets() -> None:
    """The code location has an asset for each connection."""
    pytest.importorskip("dagster_celery", reason="it is in the dependency group `cluster`")
    from dagster_rudderstack_tests.cluster.kill_project import defs  # noqa: PLC0415

    names = [name for each in plan_of(1, 5, 60).launches for name in each.case.seconds]
    assert {dg.AssetKey(name) for name in names} == set(
        defs.resolve_asset_graph().get_all_asset_keys()
    )


# --- what can be killed


def test_family() -> None:
    """A process that another thread than the main one started belongs to the family as well."""
    started: list[subprocess.Popen[bytes]] = []
    is_over = threading.Event()

    def start() -> None:
        started.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
        is_over.wait()

    thread = threading.Thread(target=start)
    thread.start()
    try:
        wait_for(lambda: started, "the start of the process")
        assert started[0].pid in family(os.getpid())
    finally:
        is_over.set()
        thread.join()
        for process in started:
            process.communicate()


# --- what counts as a violation


def test_verdict() -> None:
    """One start and one materialization, by a run or by the sensor, are as wanted."""
    assert judged().problems == []
    assert judged(reported_by=[""]).problems == []


def test_verdict__retried() -> None:
    """A run may fail if its retry succeeds."""
    verdict = judged([FAILED, RETRIED], reported_by=["second"])

    assert (verdict.problems, verdict.repeats) == ([], [])


def test_verdict__failed() -> None:
    """A run whose last retry fails is a violation."""
    assert judged([FAILED]).problems == ["The last run, first, has ended as FAILURE."]


def test_verdict__nothing_to_retry() -> None:
    """A run that failed although its steps had succeeded is none, if its sync is reported."""
    run = RunFacts("first", "FAILURE", had_nothing_to_retry=True)

    assert judged([run]).problems == []
    assert judged([run], reported_by=[]).problems == ["Sync sync of crm has no materialization."]


def test_verdict__not_ended() -> None:
    """A run that has not ended is a violation."""
    assert judged([RunFacts("first", "STARTED")]).problems == [
        "Run first has not ended: it is STARTED."
    ]


def test_verdict__two_retries() -> None:
    """Two retries of the same run are a violation, and so is a run that was never launched."""
    runs = [FAILED, RETRIED, RunFacts("third", "SUCCESS", "first")]

    assert judged(runs).problems == ["The chain of retries has 2 ends, not 1."]
    assert judged([]).problems == ["The chain of retries has 0 ends, not 1."]


def test_verdict__started_twice() -> None:
    """A second start is a violation, and so is a sync that nothing reports."""
    assert judged(owned=["sync", "again"], starts=2).problems == [
        "Connection crm has 2 starts, not 1.",
        "Sync again of crm has no materialization.",
    ]


def test_verdict__never_started() -> None:
    """A wanted sync that was never started is a violation."""
    assert judged(owned=[], starts=0, reported_by=[]).problems == [
        "Connection crm has 0 starts, not 1."
    ]


def test_verdict__orphaned() -> None:
    """A sync that still runs, and that nothing reports, is a violation."""
    assert judged(running=["sync"], reported_by=[]).problems == [
        "Sync sync of crm still runs.",
        "Sync sync of crm has no materialization.",
    ]


def test_verdict__stopped() -> None:
    """A stop is a violation, since no person canceled a run."""
    assert judged(stops=1).problems == ["Connection crm has 1 stops, and no person stopped a sync."]


def test_verdict__of_another_client() -> None:
    """The materialization of another client's sync is a violation."""
    assert judged(reported="theirs").problems == [
        "Sync sync of crm has no materialization.",
        "Sync theirs of crm was materialized, and is another client's.",
    ]


@pytest.mark.parametrize(
    ("runs", "reported_by"),
    [
        ([FAILED, RETRIED], ["second", "second"]),
        ([FAILED, RETRIED], ["second", ""]),
        ([RunFacts("first", "SUCCESS"), RETRIED], ["first", "second"]),
        ([FAILED, RETRIED, RunFacts("third", "SUCCESS")], ["second", "third"]),
    ],
    ids=["same run", "sensor", "parent succeeded", "other run"],
)
def test_verdict__reported_twice(runs: Sequence[RunFacts], reported_by: Sequence[str]) -> None:
    """A second materialization of a sync is a violation, except the one of a retry."""
    names = ", ".join(run_id or "the sensor" for run_id in reported_by)

    verdict = judged(runs, reported_by=reported_by)

    assert verdict.problems[-1] == f"Sync sync of crm was materialized 2 times: {names}."
    assert verdict.repeats == []


def test_verdict__reported_again_by_a_retry() -> None:
    """A retry that repeats the report of a failed run is counted, and is no violation."""
    runs = [FAILED, RunFacts("second", "FAILURE", "first"), RunFacts("third", "SUCCESS", "second")]

    verdict = judged(runs, reported_by=["first", "third"])

    assert verdict.problems == []
    assert verdict.repeats == ["Sync sync of crm was reported by first and third."]
    assert "syncs reported again by the retry of a failed run: 1" in counts([verdict])


# --- reading the records


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance in memory."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def server() -> Iterator[LocalRudderStack]:
    """A server with one connection, whose sync runs."""
    with LocalRudderStack(clock=ManualClock()) as made:
        made.add_connection("crm", script=SyncScript(duration_seconds=1))
        yield made


def test_verdict_of(instance: dg.DagsterInstance, server: LocalRudderStack) -> None:
    """The records say which sync each run has reported, and which syncs still run."""
    other = server.start_sync("crm", "dashboard")

    @dg.op
    def step(context: dg.OpExecutionContext) -> None:
        metadata = {MetadataKey.SYNC_ID: other}
        context.log_event(dg.AssetMaterialization("crm", metadata=metadata))

    @dg.job
    def job() -> None:
        step()

    run_id = job.execute_in_process(instance=instance, tags={CASE_TAG: CASE.name}).run_id

    verdict = verdict_of(CASE, instance, server, ["It is late."])

    assert verdict.runs == [RunFacts(run_id, "SUCCESS")]
    assert verdict.connections == [
        ConnectionFacts("crm", [], 0, 0, [other], [Report(other, run_id)])
    ]
    assert verdict.problems == [
        "It is late.",
        "Connection crm has 0 starts, not 1.",
        f"Sync {other} of crm still runs.",
        f"Sync {other} of crm was materialized, and is another client's.",
    ]
    lines = "\n".join(evidence(verdict, instance, server, since=0))
    assert f"sync {other} of crm (dashboard)" in lines
    assert "STEP_SUCCESS" in lines
