"""Which syncs a tick detects, given the cursor and the answers of RudderStack and Dagster."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.sensor.cursor import Cursor, Mark
from dagster_rudderstack.sensor.detect import (
    Answer,
    ConnectionRules,
    Detected,
    Finding,
    History,
    RecordedSync,
    detect,
    in_turn,
    missing_open,
    needs_history,
    reaches_back,
)
from dagster_rudderstack.sensor.limits import FIRST_PAGE, MAX_OPEN

NOW = 1_000_000.0
STATUSES = {"+": "succeeded", "-": "failed", "~": "running", "?": "pausing"}


def sync(text: str, started_at: int | None = None) -> Sync:
    """Return a sync from its id and a sign.

    `a+` has succeeded, `a-` has failed, `a~` is running, and `a?` has an unknown status.
    """
    over = text[-1] in "+-"
    at = None if started_at is None else datetime.fromtimestamp(started_at, timezone.utc)
    return Sync(
        id=text[:-1],
        status=STATUSES[text[-1]],
        started_at=at,
        finished_at=at if over else None,
    )


def listed(text: str) -> list[Sync]:
    """Return a list of syncs, newest first. A later first letter is a later start."""
    return [sync(word, 100 * ord(word[0])) for word in text.split()]


@dataclass
class Sensor:
    """The ticks of a sensor that watches one connection."""

    rules: ConnectionRules = field(default_factory=ConnectionRules)
    cursor: Cursor = field(default_factory=Cursor)
    now: float = NOW

    def tick(self, answer: Answer | str) -> Detected:
        """Detect what is new in an answer, and store the cursor as Dagster would."""
        if isinstance(answer, str):
            answer = Answer(listed(answer))
        detected = detect(self.cursor, {"crm": answer}, {"crm": self.rules}, now=self.now)
        self.cursor = Cursor.from_text(detected.cursor.to_text())
        return detected


def ids(findings: Sequence[Finding]) -> list[str]:
    return [finding.sync.id for finding in findings]


# --- new syncs

TICKS: Mapping[str, list[tuple[str, list[str]]]] = {
    # For each tick: the list of syncs, and the ids that are reported.
    "syncs from before the first poll are not reported": [("c+ b+ a+", []), ("c+ b+ a+", [])],
    "a sync that ends later is reported": [("a+", []), ("b+ a+", ["b"]), ("b+ a+", [])],
    "several syncs end between two ticks": [("a+", []), ("d+ c+ b+ a+", ["b", "c", "d"])],
    "a running sync is reported when it is over": [
        ("b~ a+", []),
        ("b~ a+", []),
        ("b+ a+", ["b"]),
        ("b+ a+", []),
    ],
    "there is no sync at the first poll": [
        ("", []),
        ("a+", ["a"]),
        ("b~ a+", []),
        ("b+ a+", ["b"]),
    ],
    "a sync is running at the first poll": [("a~", []), ("a+", ["a"])],
    "a failed sync is reported too": [("a+", []), ("b- a+", ["b"])],
    "a sync with an unknown status is not over": [("b? a+", []), ("b? a+", []), ("b- a+", ["b"])],
    "parallel syncs end in any order": [
        ("c~ b~ a+", []),
        ("c+ b~ a+", ["c"]),
        ("d+ c+ b~ a+", ["d"]),
        ("e+ d+ c+ b~ a+", ["e"]),
        ("f+ e+ d+ c+ b~ a+", ["f"]),
        ("f+ e+ d+ c+ b- a+", ["b"]),
        ("f+ e+ d+ c+ b- a+", []),
    ],
    "a sync is listed late, below a newer one": [
        ("b+ a+", []),
        ("d+ b+ a+", ["d"]),
        ("d+ c+ b+ a+", ["c"]),
        ("d+ c+ b+ a+", []),
    ],
    "the clock of RudderStack is set back": [
        ("z+ y+", []),
        ("a+ z+ y+", ["a"]),
        ("b~ a+ z+ y+", []),
    ],
    "a list is empty by mistake": [("b+ a+", []), ("", []), ("c+ b+ a+", ["c"])],
    "a list holds no handled sync": [
        ("c+ b+ a+", []),
        ("e+ d+", ["d", "e"]),
        ("e+ d+", []),
    ],
}


@pytest.mark.parametrize("case", TICKS)
def test_new_syncs(case: str) -> None:
    """Each sync that ends after the first poll is reported once, in the order of the starts."""
    sensor = Sensor()

    for text, expected in TICKS[case]:
        assert ids(sensor.tick(text).findings) == expected, text


def test_new_syncs__order() -> None:
    """Syncs are reported in the order in which they were started, across connections."""
    answers = {"b": Answer([sync("y+", 20), sync("x+", 10)]), "a": Answer([sync("z+", 15)])}
    cursor = detect(
        Cursor(),
        {"a": Answer([]), "b": Answer([])},
        {"a": ConnectionRules(), "b": ConnectionRules()},
        now=NOW,
    ).cursor

    tick = detect(cursor, answers, {"a": ConnectionRules(), "b": ConnectionRules()}, now=NOW)

    assert ids(tick.findings) == ["x", "z", "y"]


def test_new_syncs__no_handled_sync_in_the_list() -> None:
    """If the list holds no handled sync, older syncs than the handled ones are not reported."""
    sensor = Sensor()
    sensor.tick(Answer([sync("m+", 500), sync("l+", 400), sync("k+", 300)]))

    tick = sensor.tick(Answer([sync("n+", 600), sync("b+", 200), sync("a+", 100)]))

    assert ids(tick.findings) == ["n"]


def test_open_sync__not_in_the_list() -> None:
    """An open sync is reported when it ends, even if newer syncs have pushed it out of the list."""
    sensor = Sensor()
    sensor.tick("c+ b~ a+")

    tick = sensor.tick(Answer(listed("h+ g+ f+ e+ d+ c+"), others={"b": sync("b+", 1)}))

    assert "b" in ids(tick.findings)


def test_open_sync__not_found() -> None:
    """An open sync that RudderStack no longer knows is not read again."""
    sensor = Sensor()
    sensor.tick("b~ a+")

    tick = sensor.tick(Answer(listed("a+"), others={"b": None}))

    assert tick.findings == []
    assert missing_open(sensor.cursor.mark("crm"), listed("a+")) == []


def test_replay() -> None:
    """With `replay`, the newest syncs from before the first poll are reported, once."""
    sensor = Sensor(ConnectionRules(replay=2))

    assert ids(sensor.tick("d~ c+ b+ a+").findings) == ["b", "c"]
    assert ids(sensor.tick("d~ c+ b+ a+").findings) == []


def test_new_syncs__start_in_the_future() -> None:
    """Syncs that seem to begin in thousands of years do not hide those that begin later."""
    sensor = Sensor()
    sensor.tick(Answer([sync(f"{name}+", int(NOW) * 1000) for name in "wxyz"]))
    sensor.now += 60

    detected = sensor.tick(Answer([sync("a+", int(NOW) + 30)]))

    assert ids(detected.findings) == ["a"]


@given(st.data())
@settings(max_examples=200)
def test_new_syncs__any_starts_and_ends(data: st.DataObject) -> None:
    """For any starts and ends between ticks, each sync that ends after the first poll is reported
    exactly once, and no earlier one is."""
    sensor = Sensor()
    newest_first: list[list[str]] = []
    reported: list[str] = []
    past: set[str] | None = None
    for number in range(data.draw(st.integers(2, 8))):
        for begun in range(data.draw(st.integers(0, 6))):
            newest_first.insert(0, [f"s{number}-{begun}", "~"])
        for each in newest_first:
            if each[1] == "~" and data.draw(st.booleans()):
                each[1] = data.draw(st.sampled_from("+-"))
        text = " ".join("".join(each) for each in newest_first)
        reported += ids(sensor.tick(text).findings)
        if past is None:
            past = {name for name, sign in newest_first if sign != "~"}
    over = [name for name, sign in newest_first if sign != "~" and name not in (past or ())]

    assert sorted(reported) == sorted(over)


# --- what Dagster knows

WILL_BE_REPORTED = RecordedSync(will_be_reported=True)
WILL_NOT_BE_REPORTED = RecordedSync(will_be_reported=False)
DEFERRED = RecordedSync(deferred=True, deadline=NOW + 60)

HISTORIES: Mapping[str, tuple[str, History, bool, bool]] = {
    # The sync, what Dagster knows, whether it is reported, and whether it stays open.
    "started outside of Dagster": ("b+", History(), True, False),
    "reported by a run": ("b+", History(reported=frozenset({"b"})), False, False),
    "a run will report it": ("b+", History(recorded={"b": WILL_BE_REPORTED}), False, True),
    "a run may not have recorded it yet": ("b+", History(may_have_started=True), False, True),
    "a run started another sync": (
        "b+",
        History(recorded={"x": WILL_BE_REPORTED}),
        True,
        False,
    ),
    "its run failed and is not retried": (
        "b+",
        History(recorded={"b": WILL_NOT_BE_REPORTED}),
        True,
        False,
    ),
    "the sync and its run failed": (
        "b-",
        History(recorded={"b": WILL_NOT_BE_REPORTED}),
        False,
        False,
    ),
    "the sync failed and its run did not report it": (
        "b-",
        History(recorded={"b": replace(WILL_NOT_BE_REPORTED, of_asset=True)}),
        True,
        False,
    ),
    "the sync failed and a retry of its run will report it": (
        "b-",
        History(recorded={"b": replace(WILL_BE_REPORTED, of_asset=True)}),
        False,
        True,
    ),
    "deferred": ("b+", History(recorded={"b": DEFERRED}), True, False),
    "deferred, and a run will report it": (
        "b+",
        History(recorded={"b": replace(DEFERRED, will_be_reported=True)}),
        False,
        True,
    ),
    "a run has asked to stop it": ("b-", History(stopped=frozenset({"b"})), False, False),
    "succeeded before it was stopped": ("b+", History(stopped=frozenset({"b"})), True, False),
    "deferred and failed": ("b-", History(recorded={"b": DEFERRED}), True, False),
    "deferred, and a run may have started another sync": (
        "b+",
        History(recorded={"b": DEFERRED}, may_have_started=True),
        True,
        False,
    ),
}


@pytest.mark.parametrize("case", HISTORIES)
def test_history(case: str) -> None:
    """A sync is reported unless a run reports it. It stays open while a run may report it."""
    text, history, is_reported, stays_open = HISTORIES[case]
    sensor = Sensor()
    sensor.tick("a+")

    tick = sensor.tick(Answer(listed(f"{text} a+"), history=history))

    assert ids(tick.findings) == (["b"] if is_reported else [])
    mark = sensor.cursor.mark("crm")
    assert mark is not None
    assert list(mark.open) == (["b"] if stays_open else [])


def test_history__run_ended_without_a_report() -> None:
    """A sync that a run was to report is reported once the run is over and has not reported it."""
    sensor = Sensor()
    sensor.tick("a+")
    sensor.tick(Answer(listed("b+ a+"), history=History(recorded={"b": WILL_BE_REPORTED})))

    tick = sensor.tick(
        Answer(listed("b+ a+"), history=History(recorded={"b": WILL_NOT_BE_REPORTED}))
    )

    assert ids(tick.findings) == ["b"]


def test_history__deferred_before_the_first_poll() -> None:
    """Of the syncs that were over before the first poll, only the deferred ones are reported."""
    sensor = Sensor(ConnectionRules(deferred=True))

    tick = sensor.tick(Answer(listed("c+ b+ a+"), history=History(recorded={"b": DEFERRED})))

    assert ids(tick.findings) == ["b"]


@pytest.mark.parametrize("is_recorded", [True, False])
def test_history__maybe_deferred_before_the_first_poll(is_recorded: bool) -> None:
    """A sync that was over before the first poll, and that a run may have started without having
    recorded it yet, is reported once the run has recorded that it is deferred. No other sync from
    before the first poll is reported."""
    sensor = Sensor(ConnectionRules(deferred=True))
    recorded = {"z": DEFERRED} if is_recorded else {}
    texts = [f"{letter}+" for letter in reversed(string.ascii_lowercase)]
    first, all_syncs = " ".join(texts[:FIRST_PAGE]), " ".join(texts)

    before = sensor.tick(Answer(listed(first), history=History(may_have_started=True)))
    still = sensor.tick(Answer(listed(all_syncs), history=History(may_have_started=True)))
    after = sensor.tick(Answer(listed(all_syncs), history=History(recorded=recorded)))
    later = sensor.tick(all_syncs)

    assert ids(before.findings) == ids(still.findings) == []
    assert ids(after.findings) == (["z"] if is_recorded else [])
    assert ids(later.findings) == []


def test_needs_history() -> None:
    """Dagster's records are read for syncs that have ended, and for running syncs of a deferred
    asset whose deadline is unknown or has passed."""
    mark = Mark(handled=Sensor().tick("a+").cursor.mark("crm").handled)  # type: ignore[union-attr]
    nothing, ended, running = (Answer(listed(text)) for text in ("a+", "b+ a+", "b~ a+"))
    in_time = replace(mark, open={"b": int(NOW) + 60})
    overdue = replace(mark, open={"b": int(NOW) - 1})
    waiting, deferred = ConnectionRules(), ConnectionRules(deferred=True)

    assert not needs_history(waiting, mark, nothing, NOW)
    assert needs_history(waiting, mark, ended, NOW)
    assert not needs_history(waiting, mark, running, NOW)
    assert needs_history(deferred, mark, running, NOW)
    assert not needs_history(deferred, in_time, running, NOW)
    assert needs_history(deferred, overdue, running, NOW)


# --- deferred syncs


def test_overdue() -> None:
    """A deferred sync whose timeout has passed is found at each tick until it is over. All findings
    but the first are repeated ones."""
    sensor = Sensor(ConnectionRules(deferred=True))
    history = History(recorded={"b": DEFERRED})
    running = Answer(listed("b~ a+"), history=history)
    sensor.tick(running)
    assert sensor.tick(running).findings == []

    sensor.now = NOW + 61
    first, second = sensor.tick(running).findings, sensor.tick(running).findings
    third = sensor.tick(Answer(listed("b- a+"), history=history)).findings

    assert [(each.overdue, each.is_repeated) for each in first] == [(True, False)]
    assert [(each.overdue, each.is_repeated) for each in second] == [(True, True)]
    assert [(each.overdue, each.sync.status) for each in third] == [(False, "failed")]


def test_overdue__started_outside_of_dagster() -> None:
    """A sync that no step has deferred is never overdue."""
    sensor = Sensor(ConnectionRules(deferred=True), now=NOW * 100)

    sensor.tick(Answer(listed("b~ a+"), history=History()))

    assert sensor.tick(Answer(listed("b~ a+"), history=History())).findings == []


# --- cursor


def test_cursor__round_trip() -> None:
    """A cursor is read as it was written, with its open syncs. No text is an empty cursor."""
    cursor = Cursor("x", {"k" * 8: Mark(("abcde", "fghij"), 255, {"s1": 0, "s2": -1})})

    assert Cursor.from_text(cursor.to_text()) == cursor
    assert Cursor.from_text(None) == Cursor()
    assert Cursor.from_text("") == Cursor()


@pytest.mark.parametrize(
    "text",
    [
        "tomorrow",
        "[]",
        "{}",
        "7",
        '{"version":2,"position":"","marks":{}}',
        '{"version":1,"position":"","marks":[]}',
        '{"version":1,"position":"","marks":{"k":7}}',
        '{"version":1,"position":"","marks":{"k":[]}}',
        '{"version":1,"position":"","marks":{"k":["zz.",{}]}}',
        '{"version":1,"position":"","marks":{"k":["0.",[1]]}}',
        '{"version":1,"position":"","marks":{"k":["0.",{"s":Infinity}]}}',
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_cursor__unreadable(text: str) -> None:
    """A cursor that cannot be read is an error that says how to reset it."""
    with pytest.raises(InvalidSettingError, match="Reset it in the Dagster UI"):
        Cursor.from_text(text)


def test_cursor__size() -> None:
    """After 1,000 ticks with new syncs, the cursor has fewer than 45 characters per connection."""
    connections = [f"2hkeBOp0lGJpMPyur0oXUx{n:05}" for n in range(10)]
    rules = dict.fromkeys(connections, ConnectionRules())
    cursor = Cursor()
    for number in range(1000):
        answer = Answer([sync(f"s{number + back}+", number + back) for back in (3, 2, 1, 0)])
        cursor = detect(cursor, dict.fromkeys(connections, answer), rules, now=NOW).cursor

    assert len(cursor.to_text()) < 10 * 45


def test_cursor__open_syncs() -> None:
    """The cursor holds at most `MAX_OPEN` open syncs of a connection."""
    sensor = Sensor()

    sensor.tick(" ".join(f"s{n}~" for n in range(200)))

    mark = sensor.cursor.mark("crm")
    assert mark is not None
    assert list(mark.open) == [f"s{n}" for n in range(MAX_OPEN)]


def test_cursor__removed_connection() -> None:
    """A connection that is no longer watched loses its mark. One that was not polled keeps it."""
    both = {"a": ConnectionRules(), "b": ConnectionRules()}
    cursor = detect(
        Cursor(), {"a": Answer(listed("x+")), "b": Answer(listed("y+"))}, both, now=NOW
    ).cursor

    assert detect(cursor, {}, both, now=NOW).cursor.marks == cursor.marks
    assert len(detect(cursor, {}, {"a": ConnectionRules()}, now=NOW).cursor.marks) == 1


# --- what must be read


@pytest.mark.parametrize(
    ("position", "order"),
    [("", "abc"), ("b", "bca"), ("bb", "cab"), ("z", "abc"), ("a", "abc")],
)
def test_in_turn(position: str, order: str) -> None:
    """A tick begins at the position of the cursor, even if that connection is gone, and wraps
    around."""
    assert in_turn("cab", position) == list(order)


def test_reaches_back() -> None:
    """A list is long enough if it holds a handled sync, or if this is the first poll."""
    mark = Sensor().tick("b+ a+").cursor.mark("crm")

    assert reaches_back(None, listed("d+ c+"))
    assert reaches_back(mark, listed("d+ c+ b+"))
    assert not reaches_back(mark, listed("d+ c+"))
    assert not reaches_back(Mark(), listed("a+"))
