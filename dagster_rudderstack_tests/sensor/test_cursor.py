"""The text of a cursor, and what a tick stores in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

import pytest

from dagster_rudderstack.api.models import Sync
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.sensor.cursor import (
    ANCHORS,
    IS_PAST,
    TIMEOUT_REPORTED,
    Cursor,
    Mark,
    connection_key,
    digest,
)
from dagster_rudderstack.sensor.detect import (
    Answer,
    ConnectionRules,
    Detected,
    Finding,
    History,
    RecordedSync,
    count_ended,
    detect,
    needs_history,
)

NOW = 1_000_000.0


def over(name: str, started_at: int | None = 100, status: str = "succeeded") -> Sync:
    at = datetime.fromtimestamp(started_at or 0, timezone.utc)
    return Sync(id=name, status=status, started_at=at if started_at else None, finished_at=at)


def runs(name: str) -> Sync:
    return Sync(id=name, status="running")


# --- the text


def test_to_text() -> None:
    """The text has a version, the position and one short text per connection, in a fixed order."""
    marks = {"b": Mark(("abcde", "fghij"), 255), "a": Mark(open={"s1": 7})}

    assert Cursor("x", marks).to_text() == (
        '{"version":1,"position":"x","marks":{"a":["0.",{"s1":7}],"b":"ff.abcdefghij"}}'
    )


def test_digest() -> None:
    """An id is stored as 5 characters, a connection as 8. Neither may change, since stored cursors
    have them."""
    assert digest("crm") == connection_key("crm")[:5]
    assert (digest("crm"), connection_key("crm")) == (DIGEST_OF_CRM[:5], DIGEST_OF_CRM)


DIGEST_OF_CRM = "kmHO7wuW"
"""The first characters of the SHA-256 of `crm` in URL-safe Base64."""


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('{"version":2,"position":"","marks":{}}', "version 2"),
        ('{"version":1,"position":"","marks":{"k":"abc"}}', "mark 'abc'"),
        ('{"version":1,"marks":{}}', "'position'"),
    ],
)
def test_from_text__unreadable(text: str, cause: str) -> None:
    """If a cursor cannot be read, the error says why, what to do, and which syncs will be
    missed."""
    with pytest.raises(InvalidSettingError) as error:
        Cursor.from_text(text)

    assert str(error.value) == (
        f"The sensor's cursor cannot be read ({cause}). Reset it in the Dagster UI. The sensor "
        "will not report syncs that end before the reset."
    )
    assert error.value.__cause__ is None


def test_from_text__numbers() -> None:
    """A position is always read as text, and a deadline as a number."""
    cursor = Cursor.from_text('{"version":1,"position":7,"marks":{"k":["a.abcde",{"s":"3"}]}}')

    assert cursor == Cursor("7", {"k": Mark(("abcde",), 10, {"s": 3})})


# --- what a tick stores


def tick(
    answer: Answer,
    mark: Mark | None = None,
    rules: ConnectionRules | None = None,
    **options: object,
) -> tuple[Detected, Mark]:
    """Evaluate an answer about one connection. Return the result and the new mark."""
    marks = {connection_key("crm"): mark} if mark else {}
    result = detect(
        Cursor("", marks),
        {"crm": answer},
        {"crm": rules or ConnectionRules()},
        now=NOW,
        **options,  # type: ignore[arg-type]
    )
    written = result.cursor.mark("crm")
    assert written is not None
    return result, written


def digests(*names: str) -> tuple[str, ...]:
    return tuple(digest(name) for name in names)


def test_position() -> None:
    """The next tick begins with the given connection, or with the first."""
    assert tick(Answer([]), position="x")[0].cursor.position == "x"
    assert tick(Answer([]))[0].cursor.position == ""


def test_anchors() -> None:
    """The newest handled syncs are stored. Running ones are not."""
    listed = [runs("e"), over("d", 400), over("c", 500), over("b"), over("a")]

    _, mark = tick(Answer(listed))

    assert mark == Mark(digests("d", "c", "b"), 400, {"e": 0})
    assert len(mark.handled) == ANCHORS


def test_anchors__earlier_ones() -> None:
    """Syncs that were handled earlier are kept below the new ones, and the time does not go
    back."""
    before = Mark(digests("b", "a", "z"), 900)

    _, mark = tick(Answer([over("c"), over("b")]), before)

    assert mark == Mark(digests("c", "b", "a"), 900)


def test_anchors__no_times() -> None:
    """A handled sync without a time does not change the stored time, and an empty list changes
    nothing."""
    before = Mark(digests("b"), 900)

    assert tick(Answer([over("c", None), over("b")]), before)[1].since == 900
    assert tick(Answer([]), before)[1] == before
    assert tick(Answer([over("c", None)]))[1].since == 0
    assert tick(Answer([]))[1] == Mark()


def test_anchors__all_gone() -> None:
    """If no handled sync is listed any more, syncs are new that began later or have no time."""
    listed = [over("d", 900), over("c", None), over("b", 899)]

    result, _ = tick(Answer(listed), Mark(digests("gone"), 900))

    assert sorted(finding.sync.id for finding in result.findings) == ["c", "d"]


def test_new_syncs__between_handled_ones() -> None:
    """All unhandled syncs above the oldest handled one are new, and none below it."""
    listed = [over(name) for name in "edcba"]

    result, _ = tick(Answer(listed), Mark(digests("d", "b")))

    assert sorted(finding.sync.id for finding in result.findings) == ["c", "e"]


def test_finding() -> None:
    """A finding has the connection, the sync, and the record that a step wrote about it."""
    recorded = RecordedSync(deferred=True, deadline=1.0)
    listed = [over("c", 300), over("b", 200), over("a")]
    history = History(recorded={"b": recorded})

    result, _ = tick(Answer(listed, history=history), Mark(digests("a")))

    assert result.findings == [
        Finding("crm", over("b", 200), recorded),
        Finding("crm", over("c", 300)),
    ]


def test_open_sync__not_listed() -> None:
    """An open sync that is not listed any more is reported when it has ended."""
    answer = Answer([over("a")], {"b": over("b"), "c": None})

    result, mark = tick(answer, Mark(digests("a"), open={"b": 5, "c": 5}))

    assert [finding.sync.id for finding in result.findings] == ["b"]
    assert mark.open == {}


def test_open_sync__below_handled_ones() -> None:
    """An open sync that ends below handled ones is reported once."""
    listed = [over("c"), over("b"), over("a")]

    result, _ = tick(Answer(listed), Mark(digests("c", "a"), open={"b": 0, "a": 0}))

    assert [finding.sync.id for finding in result.findings] == ["b", "a"]


# --- the first poll


@pytest.mark.parametrize(
    ("replay", "deferred", "found"),
    [
        (0, False, []),
        (2, False, ["d", "c"]),
        (0, True, ["b", "o"]),
        (2, True, ["d", "c", "b", "o"]),
    ],
)
def test_first_poll(replay: int, deferred: bool, found: list[str]) -> None:
    """At the first poll, the newest syncs to replay are reported, and all deferred ones."""
    listed = [runs("e"), over("d"), over("c"), over("b"), over("a")]
    others = {"o": over("o"), "p": over("p"), "q": runs("q"), "r": None}
    recorded = dict.fromkeys("ob", RecordedSync(deferred=True))
    rules = ConnectionRules(deferred=deferred, replay=replay)

    result, mark = tick(Answer(listed, others, History(recorded=recorded)), rules=rules)

    assert [finding.sync.id for finding in result.findings] == found
    assert mark.open == {"e": 0, "q": 0}


def test_first_poll__start_not_recorded_yet() -> None:
    """A sync that was over before the first poll stays open while a run may have started it, since
    the run may leave it to the sensor. Nothing is reported yet."""
    rules = ConnectionRules(deferred=True)
    answer = Answer([over("a")], history=History(may_have_started=True))

    result, mark = tick(answer, rules=rules)

    assert (result.findings, mark.open) == ([], {"a": IS_PAST})


def test_count_ended() -> None:
    """Syncs that have ended count until they are handled."""
    answer = Answer([runs("d"), over("c"), over("b"), over("a")], {"o": over("o"), "p": runs("p")})

    assert count_ended(ConnectionRules(), Mark(digests("a")), answer) == 3
    assert count_ended(ConnectionRules(), None, answer) == 0
    assert count_ended(ConnectionRules(replay=1), None, answer) == 1


# --- timeouts of deferred syncs

DEFERRED_RULES = ConnectionRules(deferred=True)


@pytest.mark.parametrize(
    ("known", "recorded", "overdue", "written"),
    [
        (0, None, False, 0),
        (0, NOW - 1, True, TIMEOUT_REPORTED),
        (0, NOW, False, int(NOW)),
        (0, NOW + 1.9, False, int(NOW) + 1),
        (int(NOW) + 5, NOW - 1, False, int(NOW) + 5),
        (int(NOW) - 5, None, True, TIMEOUT_REPORTED),
        (TIMEOUT_REPORTED, NOW + 5, True, TIMEOUT_REPORTED),
    ],
)
def test_deadlines(known: int, recorded: float | None, overdue: bool, written: int) -> None:
    """The deadline in the cursor is used before that of the record, and 0 means none."""
    history = History(recorded={"b": RecordedSync(deferred=True, deadline=recorded)})
    mark = Mark(open={"b": known})

    result, after = tick(Answer([runs("b")], history=history), mark, DEFERRED_RULES)

    assert [finding.overdue for finding in result.findings] == [True] * overdue
    assert after.open == {"b": written}
    if overdue:
        finding = result.findings[0]
        assert finding.recorded == history.recorded["b"]
        assert (finding.connection_id, finding.sync) == ("crm", runs("b"))
        assert finding.is_repeated is (known == TIMEOUT_REPORTED)


def test_deadlines__no_deferred_syncs() -> None:
    """A connection without deferred syncs has no timeouts."""
    result, after = tick(Answer([runs("b")]), Mark(open={"b": 5}))

    assert (result.findings, after.open) == ([], {"b": 5})


def test_deadlines__sync_of_a_run() -> None:
    """A sync that a run will report keeps its deadline in the cursor."""
    history = History(recorded={"b": RecordedSync(will_be_reported=True)})
    answer = Answer([over("b")], history=history)

    assert tick(answer, Mark(open={"b": 5}))[1].open == {"b": 5}
    assert tick(answer, Mark(digests("a")))[1] == Mark(digests("a"), open={"b": 0})


@pytest.mark.parametrize(
    ("deferred", "is_open", "expected"),
    [
        (True, None, True),
        (True, {}, True),
        (True, {"b": int(NOW) - 1}, True),
        (True, {"b": int(NOW)}, False),
        (True, {"b": TIMEOUT_REPORTED}, True),
        (False, {}, False),
        (False, None, False),
    ],
)
def test_needs_history(deferred: bool, is_open: Mapping[str, int] | None, expected: bool) -> None:
    """Records are read for a running sync only if it may be a deferred one whose timeout is unknown
    or has passed."""
    mark = None if is_open is None else Mark(open=is_open)
    rules = ConnectionRules(deferred=deferred)

    assert needs_history(rules, mark, Answer([runs("b")]), NOW) is expected
    assert needs_history(rules, mark, Answer([], {"b": runs("b")}), NOW) is expected


def test_needs_history__one_of_several() -> None:
    """If the timeout of one of several running syncs is unknown, the history is needed."""
    mark = Mark(open={"b": int(NOW) + 9})

    assert needs_history(DEFERRED_RULES, mark, Answer([runs("c"), runs("b")]), NOW)
    assert not needs_history(DEFERRED_RULES, mark, Answer([runs("b")]), NOW)
    assert not needs_history(DEFERRED_RULES, mark, Answer([]), NOW)
