"""Each row of the table of faults, against a real server."""

import pytest

from dagster_rudderstack.errors import RudderStackError, StatusError
from dagster_rudderstack.sync.request import SyncReport
from dagster_rudderstack_tests.sync.cases import CASES, Case
from dagster_rudderstack_tests.sync.page import PAGE, page
from dagster_rudderstack_tests.sync.world import CONNECTION, World


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, world: World) -> None:
    """The user sees what the table says, and so did the server."""
    case.arrange(world)
    began = world.clock.monotonic()

    outcome: object
    try:
        outcome = world.sync(case.policy)
    except RudderStackError as error:
        outcome = error
    took = world.clock.monotonic() - began

    if isinstance(outcome, SyncReport):
        assert_reported(case, outcome, world)
    else:
        assert_failed(case, outcome, took)
    assert_logged(case, world.log)
    assert _sent(world) == (case.starts if case.sent is None else case.sent)
    assert len(world.server.starts(CONNECTION)) == case.starts
    assert len(world.server.stops(CONNECTION)) == case.stops


def assert_reported(case: Case, report: SyncReport, world: World) -> None:
    """The report is what the table says, and what the server knows."""
    assert (report.status, report.origin) == (case.outcome, case.origin)
    known = {sync.id: sync for sync in world.server.syncs(CONNECTION)}[report.id]
    assert known.status == report.status
    assert known.origin == ("dashboard" if report.origin == "attached" else "api")
    assert {name: getattr(report, name) for name in case.reported} == case.reported


def assert_failed(case: Case, error: object, took: float) -> None:
    """The error is what the table says, and so is what Dagster makes of it."""
    assert case.outcome in (type(error), StatusError), error
    assert isinstance(error, RudderStackError)
    assert isinstance(error, case.outcome)
    assert case.says in str(error)
    assert error.retryable is ("is not retried" not in case.sees)
    if "at once" in case.sees:
        assert took == 0.0


def assert_logged(case: Case, log: list[str]) -> None:
    """The log tells what the table says."""
    told = [line for line in log if case.logged in line]
    assert told or not case.logged
    if "warns once" in case.sees:
        assert [line.split()[0] for line in told] == ["WARNING"]


def _sent(world: World) -> int:
    return sum(request.operation == "start" for request in world.server.requests)


def test_page() -> None:
    """The page of the documentation is that of the table."""
    assert PAGE.read_text() == page(), "run python -m dagster_rudderstack_tests.sync.page"


def test_table_size() -> None:
    """At least forty ways of breaking are rehearsed, under names of their own."""
    assert len({case.name for case in CASES}) == len(CASES) >= 40
