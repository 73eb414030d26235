"""Each row of the table of faults, against a real server."""

import pytest

from dagster_rudderstack.errors import RudderStackError, StatusError
from dagster_rudderstack.sync import SyncReport
from dagster_rudderstack_tests.life.cases import CASES, Case
from dagster_rudderstack_tests.life.page import PAGE, page
from dagster_rudderstack_tests.life.world import CONNECTION, World


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, world: World) -> None:
    """The user sees what the table says, and so did the server."""
    case.arrange(world)

    outcome: object
    try:
        outcome = world.sync(case.policy)
    except RudderStackError as error:
        outcome = error

    if isinstance(outcome, SyncReport):
        assert (outcome.status, outcome.origin) == (case.outcome, case.origin)
        known = {sync.id: sync for sync in world.server.syncs(CONNECTION)}[outcome.id]
        assert known.status == outcome.status
        assert known.origin == ("dashboard" if outcome.origin == "attached" else "api")
    else:
        assert case.outcome in (type(outcome), StatusError), outcome
        assert isinstance(outcome, case.outcome)
        assert case.says in str(outcome)
    assert case.logged in "\n".join(world.log)
    assert _sent(world) == (case.starts if case.sent is None else case.sent)
    assert len(world.server.starts(CONNECTION)) == case.starts
    assert len(world.server.stops(CONNECTION)) == case.stops


def _sent(world: World) -> int:
    return sum(request.operation == "start" for request in world.server.requests)


def test_page() -> None:
    """The page of the documentation is that of the table."""
    assert PAGE.read_text() == page(), "run python -m dagster_rudderstack_tests.life.page"


def test_table_size() -> None:
    """At least forty ways of breaking are rehearsed, under names of their own."""
    assert len({case.name for case in CASES}) == len(CASES) >= 40
