"""A small run of the chaos; the large ones are run by `.ci/run`."""

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
from dagster_rudderstack_tests.sync.world import CONNECTION, world


def test_every_report_is_right() -> None:
    """Each of 60 syncs is started once and reported truly, with a fifth of requests faulty."""
    chaos = run(seed=7, syncs=60)

    assert dict(chaos.verdicts) == {"right reports": 60}
    assert chaos.faulty / chaos.requests > SHARE_OF_FAULTS / 2


def test_judge__somebody_elses() -> None:
    """Whoever reports a sync that he did not start, and starts none, has lost his own."""
    with world() as here:
        here.server.add_connection(CONNECTION)
        here.server.start_sync(CONNECTION, "schedule", script=SyncScript(duration_seconds=60))
        report = here.sync(SyncPolicy(on_running_sync="attach"))

        assert judge(here, CONNECTION, report) == "lost or orphaned"


def test_judge__adopted() -> None:
    """A sync that began after a lost start cannot be told from ours, unless ours is there."""
    with world() as here:
        here.server.add_connection(CONNECTION)
        here.server.add_fault(Fault("reset", operation="start"))
        here.server.add_fault(Fault("scheduled_sync", operation="list_syncs", skip=1))
        report = here.sync()

        assert report.origin == "adopted"
        assert judge(here, CONNECTION, report) == "right reports"
        here.client.start_sync(CONNECTION)
        assert judge(here, CONNECTION, report) == "lost or orphaned"


def test_verdict_of_a_seed() -> None:
    """One attempt that gave up before its start may be chance. Two, or any other wrong, are not."""
    right = Chaos(1, Counter({"right reports": 9, BEYOND_TOLERANCE: 1}), [], 1, 0, 1.0, 1.0)

    assert right.is_good
    assert not replace(right, verdicts=Counter({"right reports": 8, BEYOND_TOLERANCE: 2})).is_good
    assert not replace(right, verdicts=Counter({"right reports": 9, "hangs": 1})).is_good


@pytest.mark.parametrize(("retries", "verdict"), [(6, BEYOND_TOLERANCE), (5, "false failures")])
def test_judge__never_started(retries: int, verdict: str) -> None:
    """Giving up before the start is right only after all retries that a user gets by default."""
    with world() as here:
        here.server.add_connection(CONNECTION)
        here.server.add_fault(Fault("status", operation="get_connection", times=None))
        with pytest.raises(ApiError) as caught:
            here.sync(SyncPolicy(retry=RetryPolicy(request_max_retries=retries)))

        assert judge(here, CONNECTION, caught.value) == verdict
