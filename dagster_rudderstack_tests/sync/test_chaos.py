"""A small run of `chaos.py`, and the verdicts. `.ci/run` runs more syncs and seeds."""

from collections import Counter
from dataclasses import replace

import pytest

from dagster_rudderstack.errors import ApiError
from dagster_rudderstack.settings import RetryPolicy, SyncPolicy
from dagster_rudderstack.testing import Fault, SyncScript
from dagster_rudderstack_tests.sync.chaos import (
    BEYOND_TOLERANCE,
    SHARE_OF_FAULTS,
    Chaos,
    judge,
    run,
)
from dagster_rudderstack_tests.sync.world import CONNECTION, World


def test_run() -> None:
    """Each of 60 syncs is started once and reported as it ended, while a fifth of the requests
    fail."""
    chaos = run(seed=7, syncs=60)

    assert dict(chaos.verdicts) == {"right reports": 60}
    assert chaos.faulty / chaos.requests > SHARE_OF_FAULTS / 2


def test_judge__sync_of_another_client(world: World) -> None:
    """To report a sync of another client without a lost start is wrong."""
    world.server.add_connection(CONNECTION)
    world.server.start_sync(CONNECTION, "schedule", script=SyncScript(duration_seconds=60))

    report = world.sync(SyncPolicy(on_running_sync="attach"))

    assert judge(world, CONNECTION, report) == "lost or orphaned"


def test_judge__adopted(world: World) -> None:
    """After a lost start, it is right to report a sync of another client, unless the start had
    effect."""
    world.server.add_connection(CONNECTION)
    world.server.add_fault(Fault("reset", operation="start"))
    world.server.add_fault(Fault("scheduled_sync", operation="list_syncs", skip=1))
    report = world.sync()

    assert report.origin == "adopted"
    assert judge(world, CONNECTION, report) == "right reports"
    world.client.start_sync(CONNECTION)
    assert judge(world, CONNECTION, report) == "lost or orphaned"


def test_is_good() -> None:
    """A seed is good if at most one attempt used up its retries and all other reports are right."""
    right = Chaos(1, Counter({"right reports": 9, BEYOND_TOLERANCE: 1}), [], 1, 0, 1.0, 1.0)

    assert right.is_good
    assert not replace(right, verdicts=Counter({"right reports": 8, BEYOND_TOLERANCE: 2})).is_good
    assert not replace(right, verdicts=Counter({"right reports": 9, "hangs": 1})).is_good


@pytest.mark.parametrize(
    ("retries", "verdict"),
    [(6, BEYOND_TOLERANCE), (5, "false failures")],
    ids=["6_retries", "5_retries"],
)
def test_judge__never_started(world: World, retries: int, verdict: str) -> None:
    """An attempt may fail before its start only after the default number of retries."""
    world.server.add_connection(CONNECTION)
    world.server.add_fault(Fault("status", operation="get_connection", times=None))
    with pytest.raises(ApiError) as caught:
        world.sync(SyncPolicy(retry=RetryPolicy(request_max_retries=retries)))

    assert judge(world, CONNECTION, caught.value) == verdict
