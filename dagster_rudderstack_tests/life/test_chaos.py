"""A small run of the chaos; the large ones are run by `.ci/run`."""

import pytest

from dagster_rudderstack.errors import ApiError
from dagster_rudderstack.policies import RetryPolicy, SyncPolicy
from dagster_rudderstack.testing import Fault
from dagster_rudderstack_tests.life.chaos import BEYOND_TOLERANCE, SHARE_OF_FAULTS, judge, run
from dagster_rudderstack_tests.life.world import CONNECTION, world


def test_every_report_is_right() -> None:
    """Each of 60 syncs is started once and reported truly, with a fifth of requests faulty."""
    chaos = run(seed=7, syncs=60)

    assert dict(chaos.verdicts) == {"right reports": 60}
    assert chaos.faulty / chaos.requests > SHARE_OF_FAULTS / 2


@pytest.mark.parametrize(("retries", "verdict"), [(6, BEYOND_TOLERANCE), (5, "false failures")])
def test_judge__never_started(retries: int, verdict: str) -> None:
    """Giving up before the start is right only after all retries that a user gets by default."""
    with world() as here:
        here.server.add_connection(CONNECTION)
        here.server.add_fault(Fault("status", operation="get_connection", times=None))
        with pytest.raises(ApiError) as caught:
            here.sync(SyncPolicy(retry=RetryPolicy(max_retries=retries)))

        assert judge(here, CONNECTION, caught.value) == verdict
