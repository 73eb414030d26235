"""Which requests a rule hits. No server is needed."""

import pytest

from dagster_rudderstack.testing import Fault, ManualClock
from dagster_rudderstack.testing.faults import FaultRules, FaultTarget

START = FaultTarget("start", "POST", "crm")
POLL = FaultTarget("get_sync", "GET", "crm")


def hits(*faults: Fault, targets: list[FaultTarget], seed: int = 0) -> list[int | None]:
    """Return for each request the status of the fault that hits it."""
    rules = FaultRules(ManualClock(), seed)
    for fault in faults:
        rules.add(fault)
    found = [rules.choose(target) for target in targets]
    return [None if hit is None else hit.fault.status_code for hit in found]


def test_once() -> None:
    """A rule without further settings hits one request."""
    assert hits(Fault("status"), targets=[POLL] * 3) == [503, None, None]


def test_times_and_skip() -> None:
    """A rule ignores the first `skip` requests, then hits `times` requests."""
    fault = Fault("status", skip=1, times=2)

    assert hits(fault, targets=[POLL] * 5) == [None, 503, 503, None, None]


def test_every() -> None:
    """A rule can hit each third request, without a limit."""
    fault = Fault("status", every=3)

    assert hits(fault, targets=[POLL] * 7) == [None, None, 503, None, None, 503, None]


def test_every__limited() -> None:
    """A limit also applies to `every`."""
    assert hits(Fault("status", every=2, times=1), targets=[POLL] * 4).count(503) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", operation="start"),
        Fault("status", operation="startRetlSync"),
        Fault("status", operation=["start", "stop"]),
        Fault("status", method="post"),
    ],
)
def test_which_requests(fault: Fault) -> None:
    """A rule can match requests by operation or method."""
    assert hits(fault, targets=[POLL, START]) == [None, 503]


def test_which_connection() -> None:
    """A rule can match the requests of one connection."""
    other = FaultTarget("get_sync", "GET", "other")

    assert hits(Fault("status", connection_id="other"), targets=[POLL, other]) == [None, 503]


def test_first_added_wins() -> None:
    """If several rules match, the first one hits, and the others do not count the hit."""
    faults = [Fault("status", status=500), Fault("status", status=502)]

    assert hits(*faults, targets=[POLL] * 3) == [500, 502, None]


def test_every__counts_what_another_rule_hits() -> None:
    """A rule counts each matching request, also those that another rule hits."""
    faults = [Fault("status", status=500), Fault("status", status=502, every=2)]

    assert hits(*faults, targets=[POLL] * 4) == [500, 502, None, 502]


def test_probability() -> None:
    """A rule can hit requests at random. The same seed hits the same requests."""
    fault = Fault("status", probability=0.2)
    first = hits(fault, targets=[POLL] * 1000, seed=1)

    assert 150 < first.count(503) < 250
    assert first == hits(fault, targets=[POLL] * 1000, seed=1)
    assert first != hits(fault, targets=[POLL] * 1000, seed=2)


def test_probability__not_disturbed_by_other_rules() -> None:
    """The hits of a rule do not change when another rule is added after it."""
    fault = Fault("status", probability=0.2)
    alone = hits(fault, targets=[POLL] * 200)
    both = hits(fault, Fault("status", status=429, times=None), targets=[POLL] * 200)

    assert [status == 503 for status in both] == [status == 503 for status in alone]


def test_window() -> None:
    """A window counts in seconds after the rule was added. It has no limit by default."""
    clock = ManualClock()
    rules = FaultRules(clock, 0)
    clock.advance(1000)
    rules.add(Fault("status", status=401, from_seconds=60, until_seconds=120))
    found = []
    for _ in range(5):
        found.append([rules.choose(POLL) is not None, rules.choose(POLL) is not None])
        clock.advance(30)

    assert found == [[False] * 2, [False] * 2, [True] * 2, [True] * 2, [False] * 2]


def test_clear() -> None:
    """Rules that were removed hit no request."""
    rules = FaultRules(ManualClock(), 0)
    rules.add(Fault("status", times=None))
    rules.clear()

    assert rules.choose(POLL) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "explosion"}, "explosion"),
        ({"kind": "status", "operation": "begin"}, "begin.*list_connections"),
        ({"kind": "status", "skip": -1}, "skip"),
        ({"kind": "status", "every": 0}, "every"),
        ({"kind": "status", "times": 0}, "times"),
        ({"kind": "status", "probability": 1.5}, "probability"),
        ({"kind": "status", "probability": float("nan")}, "probability"),
        ({"kind": "status", "from_seconds": 5, "until_seconds": 5}, "until_seconds"),
        ({"kind": "status", "status": 42}, "status"),
        ({"kind": "slow"}, "seconds"),
        ({"kind": "status", "retry_after": "soon", "retry_after_as_date": True}, "retry_after"),
    ],
)
def test_wrong_rule(settings: dict[str, object], message: str) -> None:
    """An invalid rule is an error when it is created."""
    with pytest.raises(ValueError, match=message):
        Fault(**settings)  # type: ignore[arg-type]


def test_source() -> None:
    """A rule can be limited to a source, and a run of the schedule needs one."""
    rules = FaultRules(ManualClock(), seed=0)
    rules.add(Fault("status", source_id="profiles", times=None))
    rules.add(Fault("scheduled_run", times=None))
    rules.add(Fault("scheduled_sync", times=None))
    targets = [
        FaultTarget("start_run", "POST", None, "profiles"),
        FaultTarget("start_run", "POST", None, "etl"),
        START,
        FaultTarget("list_sources", "GET", None),
    ]

    hits = [rules.choose(target) for target in targets]

    kinds = [hit and hit.fault.kind for hit in hits]
    assert kinds == ["status", "scheduled_run", "scheduled_sync", None]
