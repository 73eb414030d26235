"""A small run of `chaos_runs.py`, and its verdicts. `.ci/run` makes more runs."""

import pytest

from dagster_rudderstack.api.source_runs import SourceRun
from dagster_rudderstack.errors import StartLostError, SyncFailedError
from dagster_rudderstack.settings import SyncPolicy
from dagster_rudderstack.sync.request import RunRequest, SourceRunReport
from dagster_rudderstack.sync.run import start_and_wait
from dagster_rudderstack.sync.task import drive
from dagster_rudderstack.testing import Fault, RunScript
from dagster_rudderstack_tests.sync.chaos import SHARE_OF_FAULTS, START_LOST
from dagster_rudderstack_tests.sync.chaos_runs import attempt_of, judge, run
from dagster_rudderstack_tests.sync.world import World

SOURCE = "features"


def test_run() -> None:
    """While a fifth of the requests fail, each of 60 runs is started once and reported as it ended,
    or its start was lost."""
    chaos = run(seed=7, runs=60)

    assert chaos.right + chaos.verdicts[START_LOST] == 60
    assert chaos.right > chaos.verdicts[START_LOST] > 0
    assert chaos.is_good
    assert chaos.faulty / chaos.requests > SHARE_OF_FAULTS / 2


def test_judge__doubled_start(world: World) -> None:
    """A source with two runs of ours is a wrong result, even if the report is right."""
    world.server.add_project(SOURCE, RunScript(duration_seconds=1))
    report = drive(start_and_wait(attempt_of(world, SOURCE)), world.clock.sleep)

    assert judge(world, SOURCE, report) == "right reports"
    world.client.start_source_run(SOURCE)
    assert judge(world, SOURCE, report) == "duplicate starts"


def test_judge__start_lost(world: World) -> None:
    """A start may end as lost only if its answer was lost."""
    error = StartLostError("lost", connection_id=SOURCE, source_id=SOURCE)
    world.server.add_project(SOURCE, legacy_status=False)

    assert judge(world, SOURCE, error) == "false failures"
    world.server.add_fault(Fault("reset", operation="start_run"))
    attempt = attempt_of(world, SOURCE)
    attempt.policy = SyncPolicy(start_settling_seconds=1)
    with pytest.raises(StartLostError) as lost:
        drive(start_and_wait(attempt), world.clock.sleep)
    assert judge(world, SOURCE, lost.value) == START_LOST


def test_judge__false_success(world: World) -> None:
    """A success that is reported of a failed run is a wrong result."""
    world.server.add_project(SOURCE, RunScript(error="relation does not exist"))
    with pytest.raises(SyncFailedError) as failure:
        drive(start_and_wait(attempt_of(world, SOURCE)), world.clock.sleep)

    failed = failure.value.sync
    assert isinstance(failed, SourceRun)
    assert judge(world, SOURCE, failure.value) == "right reports"
    report = SourceRunReport.of(failed, RunRequest(SOURCE), "started")
    assert judge(world, SOURCE, report) == "false successes"
