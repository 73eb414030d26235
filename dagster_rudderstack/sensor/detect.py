"""Detects which syncs are new, over or overdue, from the lists that a tick has read.

These are pure functions. RudderStack's clock is not compared with Dagster's: a sync listed above
the handled ones is new. RudderStack's times are compared with each other, and only if all
remembered syncs have disappeared from the list.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from dagster_rudderstack.api.models import Sync, SyncState
from dagster_rudderstack.sensor.cursor import (
    ANCHORS,
    IS_PAST,
    TIMEOUT_REPORTED,
    Cursor,
    Mark,
    connection_key,
    digest,
)
from dagster_rudderstack.sensor.limits import MAX_OPEN

__all__ = [
    "Answer",
    "ConnectionRules",
    "Detected",
    "Finding",
    "History",
    "RecordedSync",
    "count_ended",
    "detect",
    "in_turn",
    "missing_deferred",
    "missing_open",
    "needs_history",
    "reaches_back",
    "unhandled",
]


@dataclass(frozen=True)
class RecordedSync:
    """A sync that a step of Dagster has recorded.

    Attributes:
        will_be_reported: Whether a run, or a retry of it, will report the sync.
        deferred: Whether the step left it to the sensor.
        of_asset: Whether the step was to report it on the page of the asset.
        owned: Whether the step started it.
        sync_type: The sync type that was asked for. None if it is not recorded.
        partitions: The partitions of the steps, each a key or `first...last` of a range. Several if
            steps of several partitions have deferred the sync.
        deadline: When the timeout of a deferred sync passes, in epoch seconds.
        timed_out: Whether the sensor stopped it because its timeout had passed.
        run_id: The run of Dagster that started it, or that attached to it. None if unknown.
    """

    will_be_reported: bool = False
    deferred: bool = False
    of_asset: bool = False
    owned: bool = True
    sync_type: str | None = None
    partitions: tuple[str, ...] = ()
    deadline: float | None = None
    timed_out: bool = False
    run_id: str | None = None


@dataclass(frozen=True)
class History:
    """What Dagster knows about the syncs of one connection.

    Attributes:
        reported: The ids of the syncs whose ends were reported.
        stopped: The ids of the syncs of which a run has reported that it asked RudderStack to stop
            them, and not how they ended.
        recorded: The syncs that a step has recorded, by id.
        may_have_started: Whether a run may have started a sync that it has not recorded yet.
    """

    reported: frozenset[str] = frozenset()
    stopped: frozenset[str] = frozenset()
    recorded: Mapping[str, RecordedSync] = field(default_factory=dict)
    may_have_started: bool = False


@dataclass(frozen=True)
class Answer:
    """What RudderStack said about one connection.

    Attributes:
        listed: Its syncs, newest first, down to one that was handled before, or to the last.
        others: Syncs that are not in `listed` and were open or, at the first poll, are running or
            were deferred. None if RudderStack does not know one any more.
        history: What Dagster knows. None if `needs_history` is False.
    """

    listed: Sequence[Sync]
    others: Mapping[str, Sync | None] = field(default_factory=dict)
    history: History | None = None


@dataclass(frozen=True)
class ConnectionRules:
    """What to report of one connection.

    Attributes:
        deferred: Whether steps leave syncs to the sensor.
        replay: How many syncs that were over before the first poll are reported.
    """

    deferred: bool = False
    replay: int = 0


@dataclass(frozen=True)
class Finding:
    """A sync to report.

    Attributes:
        connection_id: The connection.
        sync: The sync.
        recorded: What a step has recorded about it. None if it was started outside of Dagster.
        overdue: Whether it is still running although its timeout has passed. False: it is over.
        is_repeated: Whether an earlier tick has reported that it is overdue.
    """

    connection_id: str
    sync: Sync
    recorded: RecordedSync | None = None
    overdue: bool = False
    is_repeated: bool = False


@dataclass(frozen=True)
class Detected:
    """What a tick has detected, and the cursor of the next one.

    Attributes:
        findings: The syncs to report, in the order in which they were started.
        cursor: The next cursor.
    """

    findings: Sequence[Finding]
    cursor: Cursor


def in_turn(connection_ids: Iterable[str], position: str) -> list[str]:
    """Return all connections in the order in which a tick polls them."""
    ordered = sorted(connection_ids)
    first = bisect.bisect_left(ordered, position)
    return ordered[first:] + ordered[:first]


def detect(
    cursor: Cursor,
    answers: Mapping[str, Answer],
    rules: Mapping[str, ConnectionRules],
    *,
    now: float,
    position: str = "",
) -> Detected:
    """Return what all answers mean. A connection without an answer stays as it is.

    Args:
        cursor: The cursor of the tick before.
        answers: The answers by connection id.
        rules: The rules by connection id, of all connections that the sensor watches.
        now: Epoch seconds of Dagster's clock, for the timeouts of deferred syncs.
        position: The connection that the next tick begins with.
    """
    known = {connection_key(connection_id) for connection_id in rules}
    marks = {key: mark for key, mark in cursor.marks.items() if key in known}
    findings: list[Finding] = []
    for connection_id, answer in answers.items():
        found, mark = _detect_one(connection_id, rules[connection_id], cursor, answer, now)
        findings += found
        marks[connection_key(connection_id)] = mark
    findings.sort(key=lambda finding: _epoch(finding.sync))
    return Detected(findings, Cursor(position, marks))


# --- what must be read


def reaches_back(mark: Mark | None, listed: Sequence[Sync]) -> bool:
    """Whether a list holds a handled sync, so that no older page is needed.

    At the first poll none was handled, and older syncs are read in other ways.
    """
    return mark is None or any(digest(sync.id) in mark.handled for sync in listed)


def missing_open(mark: Mark | None, listed: Sequence[Sync]) -> list[str]:
    """Return the open syncs that a list does not hold."""
    ids = {sync.id for sync in listed}
    return [sync_id for sync_id in (mark.open if mark else ()) if sync_id not in ids]


def missing_deferred(answer: Answer) -> list[str]:
    """Return the unreported deferred syncs that an answer does not hold."""
    history = answer.history or History()
    held = {*(sync.id for sync in answer.listed), *answer.others}
    return [
        sync_id
        for sync_id, recorded in history.recorded.items()
        if recorded.deferred and sync_id not in history.reported and sync_id not in held
    ]


def needs_history(rules: ConnectionRules, mark: Mark | None, answer: Answer, now: float) -> bool:
    """Whether Dagster's records must be read to judge an answer."""
    if _ended(rules, mark, answer):
        return True
    # A running sync may be a deferred one, whose timeout is in its record.
    deadlines = [(mark.open.get(sync.id, 0) if mark else 0) for sync in _running(answer)]
    return rules.deferred and any(deadline < now for deadline in deadlines)


def unhandled(rules: ConnectionRules, mark: Mark | None, answer: Answer) -> list[Sync]:
    """Return the syncs that are running, or have ended and are not handled yet."""
    return [*(end.sync for end in _ended(rules, mark, answer)), *_running(answer)]


def count_ended(rules: ConnectionRules, mark: Mark | None, answer: Answer) -> int:
    """Return how many syncs have ended that are not handled yet."""
    return len(_ended(rules, mark, answer))


# --- one connection


@dataclass(frozen=True)
class _End:
    """A sync that is over and not handled yet; `is_past`: it was over before the first poll."""

    sync: Sync
    is_past: bool = False


def _detect_one(
    connection_id: str, rules: ConnectionRules, cursor: Cursor, answer: Answer, now: float
) -> tuple[list[Finding], Mark]:
    mark = cursor.mark(connection_id)
    before, history = mark or Mark(), answer.history or History()
    findings: list[Finding] = []
    is_open: dict[str, int] = {}
    for sync in _running(answer):
        deadline = _deadline(before, history, sync)
        overdue = rules.deferred and deadline != 0 and deadline < now
        if overdue:
            is_repeated = deadline == TIMEOUT_REPORTED
            recorded = history.recorded.get(sync.id)
            findings.append(
                Finding(connection_id, sync, recorded, overdue=True, is_repeated=is_repeated)
            )
        is_open[sync.id] = TIMEOUT_REPORTED if overdue else deadline
    for end in _ended(rules, mark, answer):
        action = _action(end, history)
        if action == "later":
            is_open[end.sync.id] = IS_PAST if end.is_past else before.open.get(end.sync.id, 0)
        elif action == "report":
            findings.append(Finding(connection_id, end.sync, history.recorded.get(end.sync.id)))
    return findings, _next_mark(before, answer, is_open, now)


def _ended(rules: ConnectionRules, mark: Mark | None, answer: Answer) -> list[_End]:
    """Return the syncs that are over and not handled yet."""
    over = [sync for sync in answer.listed if sync.is_over]
    others = [sync for sync in answer.others.values() if sync is not None and sync.is_over]
    if mark is None:
        past = [_End(sync, is_past=True) for sync in (*over[rules.replay :], *others)]
        # A deferred sync is reported however long ago it ended.
        return [_End(sync) for sync in over[: rules.replay]] + (past if rules.deferred else [])
    were_open = [sync for sync in over if sync.id in mark.open]
    new = [sync for sync in _new(mark, answer.listed) if sync.is_over and sync.id not in mark.open]
    return [
        _End(sync, is_past=mark.open.get(sync.id) == IS_PAST)
        for sync in (*new, *were_open, *others)
    ]


def _new(mark: Mark, listed: Sequence[Sync]) -> list[Sync]:
    """Return the unhandled syncs above the oldest handled one in a list."""
    places = [place for place, sync in enumerate(listed) if digest(sync.id) in mark.handled]
    if places:
        return [sync for sync in listed[: places[-1]] if digest(sync.id) not in mark.handled]
    # All remembered syncs are gone. A list that is short by mistake must not replay the past.
    return [sync for sync in listed if sync.started_at is None or _epoch(sync) >= mark.since]


def _running(answer: Answer) -> list[Sync]:
    others = [sync for sync in answer.others.values() if sync is not None]
    return [sync for sync in (*answer.listed, *others) if not sync.is_over]


def _deadline(before: Mark, history: History, sync: Sync) -> int:
    known = before.open.get(sync.id, 0)
    recorded = history.recorded.get(sync.id)
    return known or int(recorded.deadline if recorded and recorded.deadline else 0)


_Action = Literal["report", "later", "nothing"]


def _action(end: _End, history: History) -> _Action:
    """Decide what to do about a sync that is over: nothing if a run reports it."""
    if _is_reported(end.sync, history):
        return "nothing"
    recorded = history.recorded.get(end.sync.id)
    if recorded is None and history.may_have_started:
        return "later"
    if recorded is not None and recorded.deferred:
        return "later" if recorded.will_be_reported else "report"
    if end.is_past:
        return "nothing"
    return "report" if recorded is None else _action_of_waiting(end.sync, recorded)


def _action_of_waiting(sync: Sync, recorded: RecordedSync) -> _Action:
    """Decide what to do about a sync that a step waits for, or has waited for."""
    if recorded.will_be_reported:
        return "later"
    # A step of an asset observes each failed sync that it sees. An op has no asset: its run has
    # failed and said why.
    return "report" if recorded.of_asset or sync.state is SyncState.SUCCEEDED else "nothing"


def _is_reported(sync: Sync, history: History) -> bool:
    if sync.id in history.reported:
        return True
    # One that was to be stopped may have succeeded first.
    return sync.id in history.stopped and sync.state is not SyncState.SUCCEEDED


def _next_mark(before: Mark, answer: Answer, is_open: Mapping[str, int], now: float) -> Mark:
    # Those of the past count as handled, so that older ones are not taken for new.
    handled = [
        sync for sync in answer.listed if sync.is_over and is_open.get(sync.id, IS_PAST) == IS_PAST
    ]
    digests = dict.fromkeys([digest(sync.id) for sync in handled[:ANCHORS]] + [*before.handled])
    since = int(_epoch(handled[0])) if handled else 0
    return Mark(
        tuple(digests)[:ANCHORS],
        # A start in the far future must not hide all later syncs. If RudderStack's clock is ahead,
        # Dagster's history prevents a second report.
        min(max(before.since, since), int(now)),
        dict(list(is_open.items())[:MAX_OPEN]),
    )


def _epoch(sync: Sync) -> float:
    return sync.started_at.timestamp() if sync.started_at else 0.0
