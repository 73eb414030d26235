"""Each row of the table of failures, tested against a real server."""

import pytest

from dagster_rudderstack.errors import RudderStackError, StatusError
from dagster_rudderstack.sync.request import SyncReport
from dagster_rudderstack_tests.sync.case import Case
from dagster_rudderstack_tests.sync.cases import CASES
from dagster_rudderstack_tests.sync.page import PAGE, page
from dagster_rudderstack_tests.sync.world import CONNECTION, World


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, world: World) -> None:
    """The result, the log and the requests are those of the row."""
    case.arrange(world)
    began = world.clock.monotonic()

    result: object
    try:
        result = world.sync(case.policy)
    except RudderStackError as error:
        result = error
    seconds = world.clock.monotonic() - began

    if isinstance(result, SyncReport):
        assert_reported(case, result, world)
    else:
        assert_failed(case, result, seconds)
    assert_logged(case, world.log)
    assert _sent(world) == (case.starts if case.sent is None else case.sent)
    assert len(world.server.starts(CONNECTION)) == case.starts
    assert len(world.server.stops(CONNECTION)) == case.stops


def assert_reported(case: Case, report: SyncReport, world: World) -> None:
    """The report is that of the row, and what the server knows."""
    assert (report.status, report.origin) == (case.outcome, case.origin)
    known = {sync.id: sync for sync in world.server.syncs(CONNECTION)}[report.id]
    assert known.status == report.status
    assert known.origin == ("dashboard" if report.origin == "attached" else "api")
    assert {name: getattr(report, name) for name in case.reported} == case.reported


def assert_failed(case: Case, error: object, seconds: float) -> None:
    """The error is that of the row, and so are its time and whether Dagster retries."""
    assert case.outcome in (type(error), StatusError), error
    assert isinstance(error, RudderStackError)
    assert isinstance(error, case.outcome)
    assert case.says in str(error)
    assert error.retryable is ("is not retried" not in case.sees)
    if "at once" in case.sees:
        assert seconds == 0.0


def assert_logged(case: Case, log: list[str]) -> None:
    """The log has the line of the row."""
    lines = [line for line in log if case.logged in line]
    assert lines or not case.logged
    if "warns once" in case.sees:
        assert [line.split()[0] for line in lines] == ["WARNING"]


def _sent(world: World) -> int:
    return sum(request.operation == "start" for request in world.server.requests)


def test_page() -> None:
    """The page of the documentation is up to date with the table."""
    assert PAGE.read_text() == page(), "run python -m dagster_rudderstack_tests.sync.page"


def test_table_size() -> None:
    """The table has at least 40 cases, and each has its own name."""
    assert len({case.name for case in CASES}) == len(CASES) >= 40
