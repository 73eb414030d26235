"""A small run of the chaos; the large ones are run by `.ci/run`."""

from dagster_rudderstack_tests.life.chaos import SHARE_OF_FAULTS, run


def test_every_report_is_right() -> None:
    """Each of 60 syncs is started once and reported truly, with a fifth of requests faulty."""
    chaos = run(seed=7, syncs=60)

    assert dict(chaos.verdicts) == {"right reports": 60}
    assert chaos.faulty / chaos.requests > SHARE_OF_FAULTS / 2
