"""A case of the table of failures, and the functions that set one up."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dagster_rudderstack import errors
from dagster_rudderstack.settings import SyncPolicy
from dagster_rudderstack.testing import Fault, SyncScript
from dagster_rudderstack_tests.sync.world import CONNECTION, World

MINUTE = 60.0
HOUR = 3600.0

GOOD = SyncScript(duration_seconds=20, rows_total=100)

Arrange = Callable[[World], object]


@dataclass(frozen=True)
class Case:
    """One failure: how to cause it, and what is expected.

    Attributes:
        name: The id of the test.
        fault: What fails, for the page.
        sees: What the user sees, for the page. The test reads some of its words: "at once", "is not
            retried" and "warns once".
        arrange: Adds the connection and the faults to the server.
        outcome: `succeeded`, or the type of the error that is raised.
        says: A part of the error's message.
        logged: A part of a log line.
        reported: The expected values of the report, by attribute.
        origin: The expected origin of the reported sync.
        starts: How many starts take effect.
        sent: How many starts are sent. None means as many as take effect.
        stops: How many stops are sent.
        policy: The policy of the sync.
    """

    name: str
    fault: str
    sees: str
    arrange: Arrange
    outcome: str | type[errors.RudderStackError] = "succeeded"
    says: str = ""
    logged: str = ""
    reported: Mapping[str, object] = field(default_factory=dict)
    origin: str = "started"
    starts: int = 1
    sent: int | None = None
    stops: int = 0
    policy: SyncPolicy = field(default_factory=SyncPolicy)


def connection(script: SyncScript = GOOD, *faults: Fault, **settings: object) -> Arrange:
    """Return a function that adds a connection and faults."""

    def arrange(world: World) -> None:
        world.server.add_connection(CONNECTION, script=script, **settings)  # type: ignore[arg-type]
        for fault in faults:
            world.server.add_fault(fault)

    return arrange


def other_sync_running(
    other: SyncScript, owned: SyncScript = GOOD, *faults: Fault, **settings: object
) -> Arrange:
    """Return a function that adds a connection with a running sync of another client."""

    def arrange(world: World) -> None:
        connection(owned, *faults, **settings)(world)
        world.server.start_sync(CONNECTION, origin="dashboard", script=other)

    return arrange


def lost_start(kind: str, **settings: object) -> Fault:
    """Return a fault that loses the answer to a start that takes effect."""
    return Fault(kind, operation="start", effect=True, **settings)  # type: ignore[arg-type]


def start_without_effect(kind: str, **settings: object) -> Fault:
    """Return a fault that loses a start before it takes effect."""
    return Fault(kind, operation="start", **settings)  # type: ignore[arg-type]


def failing_polls(kind: str, seconds: float = 10 * MINUTE, **settings: object) -> Fault:
    """Return a fault that breaks every poll, from 30 s after the server starts.

    The list of syncs fails as well, since it is asked if the details are missing.
    """
    return Fault(
        kind,  # type: ignore[arg-type]
        operation=("get_sync", "list_syncs"),
        from_seconds=30,
        until_seconds=30 + seconds,
        **settings,  # type: ignore[arg-type]
    )
