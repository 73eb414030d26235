"""A tick is a function of a cursor and answers; here are its rules, as tables."""

from __future__ import annotations

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
from dagster_rudderstack.sensor.limits import MAX_OPEN

NOW = 1_000_000.0
STATUSES = {"+": "succeeded", "-": "failed", "~": "running", "?": "pausing"}


def sync(text: str, started_at: int | None = None) -> Sync:
    """Return a sync from its id and a sign: `a+` succeeded, `a-` failed, `a~` runs, `a?`
    unknown."""
    over = text[-1] in "+-"
    at = None if started_at is None else datetime.fromtimestamp(started_at, timezone.utc)
    return Sync(
        id=text[:-1],
        status=STATUSES[text[-1]],
        started_at=at,
        finished_at=at if over else None,
    )


def listed(text: str) -> list[Sync]:
    """Return a list of syncs, newest first; each began at a time that goes by its first letter."""
    return [sync(word, 100 * ord(word[0])) for word in text.split()]


@dataclass
class Sensor:
    """Ticks one after the other, about one connection."""

    rules: ConnectionRules = field(default_factory=ConnectionRules)
    cursor: Cursor = field(default_factory=Cursor)
    now: float = NOW

    def look(self, answer: Answer | str) -> Detected:
        """Judge an answer, and go on from there the next time, as Dagster would."""
        if isinstance(answer, str):
            answer = Answer(listed(answer))
        tick = detect(self.cursor, {"crm": answer}, {"crm": self.rules}, now=self.now)
        self.cursor = Cursor.from_text(tick.cursor.to_text())
        return tick


def ids(findings: Sequence[Finding]) -> list[str]:
    return [finding.sync.id for finding in findings]


# --- what is new

LOOKS: Mapping[str, list[tuple[str, list[str]]]] = {
    "history is not replayed": [("c+ b+ a+", []), ("c+ b+ a+", [])],
    "what ends later is reported": [("a+", []), ("b+ a+", ["b"]), ("b+ a+", [])],
    "several, oldest first": [("a+", []), ("d+ c+ b+ a+", ["b", "c", "d"])],
    "one that ran is reported when it is over": [
        ("b~ a+", []),
        ("b~ a+", []),
        ("b+ a+", ["b"]),
        ("b+ a+", []),
    ],
    "a connection without a sync": [("", []), ("a+", ["a"]), ("b~ a+", []), ("b+ a+", ["b"])],
    "one that ran at the first look": [("a~", []), ("a+", ["a"])],
    "a failed one is reported as well": [("a+", []), ("b- a+", ["b"])],
    "an unknown status is not an end": [("b? a+", []), ("b? a+", []), ("b- a+", ["b"])],
    "parallel ones end in any order": [
        ("c~ b~ a+", []),
        ("c+ b~ a+", ["c"]),
        ("d+ c+ b~ a+", ["d"]),
        ("e+ d+ c+ b~ a+", ["e"]),
        ("f+ e+ d+ c+ b~ a+", ["f"]),
        ("f+ e+ d+ c+ b- a+", ["b"]),
        ("f+ e+ d+ c+ b- a+", []),
    ],
    "one that is shown late, below a newer one": [
        ("b+ a+", []),
        ("d+ b+ a+", ["d"]),
        ("d+ c+ b+ a+", ["c"]),
        ("d+ c+ b+ a+", []),
    ],
    "a clock that is set back": [("z+ y+", []), ("a+ z+ y+", ["a"]), ("b~ a+ z+ y+", [])],
    "an answer that is empty by mistake": [("b+ a+", []), ("", []), ("c+ b+ a+", ["c"])],
    "a list without all that we remember": [
        ("c+ b+ a+", []),
        ("e+ d+", ["d", "e"]),
        ("e+ d+", []),
    ],
}


@pytest.mark.parametrize("case", LOOKS)
def test_looks(case: str) -> None:
    """Each sync that is over is reported once, whatever is over when; history is not."""
    sensor = Sensor()

    for text, expected in LOOKS[case]:
        assert sorted(ids(sensor.look(text).findings)) == sorted(expected), text


def test_findings_are_in_the_order_of_their_starts() -> None:
    """Materializations are stored in the order in which the syncs were started."""
    answers = {"b": Answer([sync("y+", 20), sync("x+", 10)]), "a": Answer([sync("z+", 15)])}
    cursor = detect(
        Cursor(),
        {"a": Answer([]), "b": Answer([])},
        {"a": ConnectionRules(), "b": ConnectionRules()},
        now=NOW,
    ).cursor

    tick = detect(cursor, answers, {"a": ConnectionRules(), "b": ConnectionRules()}, now=NOW)

    assert ids(tick.findings) == ["x", "z", "y"]


def test_a_short_list_does_not_replay_the_past() -> None:
    """If all that we remember has gone, what began before it is not reported."""
    sensor = Sensor()
    sensor.look(Answer([sync("m+", 500), sync("l+", 400), sync("k+", 300)]))

    tick = sensor.look(Answer([sync("n+", 600), sync("b+", 200), sync("a+", 100)]))

    assert ids(tick.findings) == ["n"]


def test_an_open_sync_below_the_page() -> None:
    """The end of a long sync is seen, however many others have pushed it out of the list."""
    sensor = Sensor()
    sensor.look("c+ b~ a+")

    tick = sensor.look(Answer(listed("h+ g+ f+ e+ d+ c+"), others={"b": sync("b+", 1)}))

    assert "b" in ids(tick.findings)


def test_an_open_sync_that_is_forgotten() -> None:
    """A running sync that RudderStack has forgotten is asked for no longer."""
    sensor = Sensor()
    sensor.look("b~ a+")

    tick = sensor.look(Answer(listed("a+"), others={"b": None}))

    assert tick.findings == []
    assert missing_open(sensor.cursor.mark("crm"), listed("a+")) == []


def test_replay() -> None:
    """If asked for, the newest syncs from before the first look are reported, once."""
    sensor = Sensor(ConnectionRules(replay=2))

    assert ids(sensor.look("d~ c+ b+ a+").findings) == ["b", "c"]
    assert ids(sensor.look("d~ c+ b+ a+").findings) == []


@given(st.data())
@settings(max_examples=200)
def test_each_end_is_reported_once(data: st.DataObject) -> None:
    """Whatever starts and ends between ticks, each sync that ends after the first look is reported
    exactly once, and none that ended before."""
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
        reported += ids(sensor.look(text).findings)
        if past is None:
            past = {name for name, sign in newest_first if sign != "~"}
    over = [name for name, sign in newest_first if sign != "~" and name not in (past or ())]

    assert sorted(reported) == sorted(over)


# --- what Dagster knows

WILL_BE_REPORTED = RecordedSync(will_be_reported=True)
LEFT = RecordedSync(will_be_reported=False)
DEFERRED = RecordedSync(deferred=True, deadline=NOW + 60)

KNOWLEDGE: Mapping[str, tuple[str, History, bool, bool]] = {
    # the sync, what Dagster knows: is it reported, and does it stay open?
    "started elsewhere": ("b+", History(), True, False),
    "reported by a run": ("b+", History(reported=frozenset({"b"})), False, False),
    "a run will report it": ("b+", History(recorded={"b": WILL_BE_REPORTED}), False, True),
    "a run is about to write it down": ("b+", History(may_have_started=True), False, True),
    "another one was started by a run": (
        "b+",
        History(recorded={"x": WILL_BE_REPORTED}),
        True,
        False,
    ),
    "its run died and nobody retries": ("b+", History(recorded={"b": LEFT}), True, False),
    "it failed, and its run with it": ("b-", History(recorded={"b": LEFT}), False, False),
    "deferred": ("b+", History(recorded={"b": DEFERRED}), True, False),
    "deferred and failed": ("b-", History(recorded={"b": DEFERRED}), True, False),
    "deferred, and its run may still start others": (
        "b+",
        History(recorded={"b": DEFERRED}, may_have_started=True),
        True,
        False,
    ),
}


@pytest.mark.parametrize("case", KNOWLEDGE)
def test_knowledge(case: str) -> None:
    """A sync is reported unless a run of Dagster did or will; what a run may do is looked at
    again."""
    text, history, is_reported, stays_open = KNOWLEDGE[case]
    sensor = Sensor()
    sensor.look("a+")

    tick = sensor.look(Answer(listed(f"{text} a+"), history=history))

    assert ids(tick.findings) == (["b"] if is_reported else [])
    mark = sensor.cursor.mark("crm")
    assert mark is not None
    assert list(mark.open) == (["b"] if stays_open else [])


def test_what_a_run_did_not_report_is_reported_later() -> None:
    """A sync that was left to a run is reported once the run is over and has not done so."""
    sensor = Sensor()
    sensor.look("a+")
    sensor.look(Answer(listed("b+ a+"), history=History(recorded={"b": WILL_BE_REPORTED})))

    tick = sensor.look(Answer(listed("b+ a+"), history=History(recorded={"b": LEFT})))

    assert ids(tick.findings) == ["b"]


def test_deferred_syncs_from_before_the_first_look() -> None:
    """A deferred sync is reported even if it was over when the sensor first looked; no other is."""
    sensor = Sensor(ConnectionRules(deferred=True))

    tick = sensor.look(Answer(listed("c+ b+ a+"), history=History(recorded={"b": DEFERRED})))

    assert ids(tick.findings) == ["b"]


def test_history_is_read_when_it_is_needed() -> None:
    """The event log is asked about ends that are new, and about deferred syncs that run."""
    mark = Mark(handled=Sensor().look("a+").cursor.mark("crm").handled)  # type: ignore[union-attr]
    nothing, ended, runs = (Answer(listed(text)) for text in ("a+", "b+ a+", "b~ a+"))
    known = replace(mark, open={"b": int(NOW) + 60})
    passed = replace(mark, open={"b": int(NOW) - 1})
    waiting, deferred = ConnectionRules(), ConnectionRules(deferred=True)

    assert not needs_history(waiting, mark, nothing, NOW)
    assert needs_history(waiting, mark, ended, NOW)
    assert not needs_history(waiting, mark, runs, NOW)
    assert needs_history(deferred, mark, runs, NOW)
    assert not needs_history(deferred, known, runs, NOW)
    assert needs_history(deferred, passed, runs, NOW)


# --- deferred syncs


def test_overdue() -> None:
    """A deferred sync whose timeout has passed is told once and stopped until it is over."""
    sensor = Sensor(ConnectionRules(deferred=True))
    history = History(recorded={"b": DEFERRED})
    running = Answer(listed("b~ a+"), history=history)
    sensor.look(running)
    assert sensor.look(running).findings == []

    sensor.now = NOW + 61
    first, second = sensor.look(running).findings, sensor.look(running).findings
    third = sensor.look(Answer(listed("b- a+"), history=history)).findings

    assert [(each.overdue, each.is_repeated) for each in first] == [(True, False)]
    assert [(each.overdue, each.is_repeated) for each in second] == [(True, True)]
    assert [(each.overdue, each.sync.status) for each in third] == [(False, "failed")]


def test_a_sync_from_elsewhere_is_never_overdue() -> None:
    """A sync that no step has deferred has no timeout."""
    sensor = Sensor(ConnectionRules(deferred=True), now=NOW * 100)

    sensor.look(Answer(listed("b~ a+"), history=History()))

    assert sensor.look(Answer(listed("b~ a+"), history=History())).findings == []


# --- cursor


def test_a_cursor_survives_storage() -> None:
    """What is written is read again, the syncs that are open included."""
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
def test_a_cursor_that_cannot_be_read(text: str) -> None:
    """Whatever somebody wrote into the cursor, the message says what to do and what it costs."""
    with pytest.raises(InvalidSettingError, match="Reset it in the Dagster UI"):
        Cursor.from_text(text)


def test_a_cursor_is_bounded() -> None:
    """After a thousand ticks with new syncs the cursor has about 40 characters per connection."""
    connections = [f"2hkeBOp0lGJpMPyur0oXUx{n:05}" for n in range(100)]
    rules = dict.fromkeys(connections, ConnectionRules())
    cursor = Cursor()
    for number in range(1000):
        answer = Answer([sync(f"s{number + back}+", number + back) for back in (3, 2, 1, 0)])
        cursor = detect(cursor, dict.fromkeys(connections, answer), rules, now=NOW).cursor

    assert len(cursor.to_text()) < 100 * 45


def test_open_syncs_are_bounded() -> None:
    """However many syncs of a connection never end, the cursor remembers a few."""
    sensor = Sensor()

    sensor.look(" ".join(f"s{n}~" for n in range(200)))

    mark = sensor.cursor.mark("crm")
    assert mark is not None
    assert list(mark.open) == [f"s{n}" for n in range(MAX_OPEN)]


def test_connections_that_are_gone_leave_the_cursor() -> None:
    """A connection that is watched no longer takes no place; one that was not asked keeps its
    own."""
    both = {"a": ConnectionRules(), "b": ConnectionRules()}
    cursor = detect(
        Cursor(), {"a": Answer(listed("x+")), "b": Answer(listed("y+"))}, both, now=NOW
    ).cursor

    assert detect(cursor, {}, both, now=NOW).cursor.marks == cursor.marks
    assert len(detect(cursor, {}, {"a": ConnectionRules()}, now=NOW).cursor.marks) == 1


# --- what must be asked


@pytest.mark.parametrize(
    ("position", "order"),
    [("", "abc"), ("b", "bca"), ("bb", "cab"), ("z", "abc"), ("a", "abc")],
)
def test_in_turn(position: str, order: str) -> None:
    """A tick begins where the last one left off, also if that connection is gone, and goes
    round."""
    assert in_turn("cab", position) == list(order)


def test_reaches_back() -> None:
    """A list is long enough if it holds something that was handled, or nothing was ever seen."""
    mark = Sensor().look("b+ a+").cursor.mark("crm")

    assert reaches_back(None, listed("d+ c+"))
    assert reaches_back(mark, listed("d+ c+ b+"))
    assert not reaches_back(mark, listed("d+ c+"))
    assert not reaches_back(Mark(), listed("a+"))
