"""What a polling sensor makes of the lists of syncs that it reads: pure rules and a small cursor.

No clock is compared with another one. For each connection the cursor remembers which syncs were
handled last and which were not over; whatever stands in the list above those handled is new, and so
is the end of one that was not over. RudderStack's times are compared with RudderStack's times only,
and only when all that we remember has gone from the list.
"""

from __future__ import annotations

import base64
import bisect
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from dagster_rudderstack.api.models import Sync, SyncState
from dagster_rudderstack.errors import InvalidSettingError

__all__ = [
    "Answer",
    "Cursor",
    "Finding",
    "History",
    "Mark",
    "Ours",
    "Rules",
    "Tick",
    "Wanted",
    "in_turn",
    "next_tick",
]

VERSION = 1

ANCHORS = 3
"""How many handled syncs we remember of each connection. One would do if none was ever shown
late."""

MAX_OPEN = 25
"""How many syncs of one connection that are not over we remember: RudderStack runs one, or a
few."""


# --- the cursor


@dataclass(frozen=True)
class Mark:
    """How far the syncs of one connection are handled.

    Attributes:
        handled: digests of the newest syncs that were handled, newest first; at most `ANCHORS`.
        since: when the newest of them was started, in epoch seconds of RudderStack's clock; 0:
            unknown.
        open: the syncs that were not over, or are left to a run of Dagster, by id; each with the
            epoch second when the timeout of the deferred sync passes, 0 if it has none or that is
            not known, and `ASKED_TO_STOP` once it was told.
    """

    handled: tuple[str, ...] = ()
    since: int = 0
    open: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> object:
        """Return what a cursor holds: one short text, and what is open if there is any."""
        text = f"{self.since:x}.{''.join(self.handled)}"
        return [text, dict(self.open)] if self.open else text

    @classmethod
    def from_json(cls, data: object) -> Mark:
        """Read what `to_json` wrote; raises ValueError or TypeError."""
        text, is_open = (data[0], data[1]) if isinstance(data, list) else (data, {})
        since, dot, digests = str(text).partition(".")
        if not dot:
            raise ValueError(f"mark {text!r}")
        size = DIGEST_LENGTH
        handled = tuple(digests[at : at + size] for at in range(0, len(digests), size))
        return cls(handled, int(since, 16), {str(k): int(v) for k, v in is_open.items()})


ASKED_TO_STOP = -1

DIGEST_LENGTH = 5
"""30 bits, compared with a few others of the same connection: a sync is mistaken for another one
once in 300 million."""

CONNECTION_DIGEST_LENGTH = 8


def digest(text: str, length: int = DIGEST_LENGTH) -> str:
    """Return a short text that stands for an id."""
    hashed = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(hashed).decode()[:length]


@dataclass(frozen=True)
class Cursor:
    """Where a tick left off: about 40 characters per connection, however long the sensor runs.

    Attributes:
        position: the connection that the next tick begins with; empty: the first.
        marks: by the digest of the connection's id.
    """

    position: str = ""
    marks: Mapping[str, Mark] = field(default_factory=dict)

    def mark(self, connection_id: str) -> Mark | None:
        """Return how far a connection is handled; None: it was never looked at."""
        return self.marks.get(_key(connection_id))

    def to_text(self) -> str:
        """Return the cursor as Dagster stores it."""
        marks = {key: mark.to_json() for key, mark in sorted(self.marks.items())}
        content = {"version": VERSION, "position": self.position, "marks": marks}
        return json.dumps(content, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str | None) -> Cursor:
        """Read what `to_text` wrote; None or empty: nothing was looked at yet.

        Raises:
            InvalidSettingError: if somebody wrote something else.
        """
        if not text:
            return cls()
        try:
            content = json.loads(text)
            if content["version"] != VERSION:
                raise ValueError(f"version {content['version']!r}")
            marks = {str(key): Mark.from_json(mark) for key, mark in content["marks"].items()}
            return cls(str(content["position"]), marks)
        except _UNREADABLE as error:
            raise InvalidSettingError(
                f"The sensor's cursor cannot be read ({error}). Reset it in the Dagster UI: what "
                "has ended until then is not reported, what ends later is."
            ) from None


_UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    OverflowError,  # JSON as Python reads it has an Infinity.
    RecursionError,
)


# --- what is known


@dataclass(frozen=True)
class Ours:
    """A sync that a step of Dagster has written down.

    Attributes:
        in_hand: whether a run will report it.
        deferred: whether it was left to the sensor.
        owned: whether the step started it.
        sync_type: what was asked for; None: RudderStack decided.
        partition: of the asset; None: not partitioned.
        deadline: of a deferred sync: epoch seconds; None: not deferred.
        stopped_by: the run that had it stopped, or `BY_TIMEOUT`; None: neither.
    """

    in_hand: bool = False
    deferred: bool = False
    owned: bool = True
    sync_type: str | None = None
    partition: str | None = None
    deadline: float | None = None
    stopped_by: str | None = None


@dataclass(frozen=True)
class Wanted:
    """A deferred start that waits for the end of another sync.

    Attributes:
        after_sync_id: the sync that is in its way.
        sync_type: what was asked for; None: RudderStack decides.
        partition: of the asset; None: not partitioned.
        in_hand: whether the run that wants it goes on, and may still start it itself.
    """

    after_sync_id: str
    sync_type: str | None = None
    partition: str | None = None
    in_hand: bool = False


@dataclass(frozen=True)
class History:
    """What Dagster's event log says about the syncs of one asset.

    Attributes:
        reported: ids of syncs whose end was reported.
        ours: those that a step has written down, by id.
        may_have_started: whether a run may have started a sync that it has not written down yet.
        wanted: deferred starts.
    """

    reported: frozenset[str] = frozenset()
    ours: Mapping[str, Ours] = field(default_factory=dict)
    may_have_started: bool = False
    wanted: Sequence[Wanted] = ()


@dataclass(frozen=True)
class Answer:
    """What RudderStack said about one connection.

    Attributes:
        listed: its syncs, newest first, down to one that was handled before or to the last.
        others: syncs that are not in `listed` and were open, or, at the first look, run or were
            deferred; None: it has been forgotten.
        history: what Dagster knows; None if `needs_history` is False.
    """

    listed: Sequence[Sync]
    others: Mapping[str, Sync | None] = field(default_factory=dict)
    history: History | None = None


@dataclass(frozen=True)
class Rules:
    """What to report of one connection.

    Attributes:
        deferred: whether steps leave syncs to the sensor.
        replay: how many syncs that were over before the first look are reported.
    """

    deferred: bool = False
    replay: int = 0


# --- what is found


@dataclass(frozen=True)
class Finding:
    """Something to report about a connection.

    Attributes:
        connection_id: the connection.
        sync: what it is about.
        ours: what a step has written down about it; None: it was started outside of Dagster.
        overdue: whether it still runs though its timeout has passed; False: it is over.
        told: whether an earlier tick has told that it is overdue.
    """

    connection_id: str
    sync: Sync
    ours: Ours | None = None
    overdue: bool = False
    told: bool = False


@dataclass(frozen=True)
class Tick:
    """What a tick has found, and where the next one goes on.

    Attributes:
        findings: of all connections, in the order in which the syncs were started.
        wanted: deferred starts whose time has come, with the connection of each.
        cursor: the next one.
    """

    findings: Sequence[Finding]
    wanted: Sequence[tuple[str, Wanted]]
    cursor: Cursor


def in_turn(connection_ids: Iterable[str], position: str) -> list[str]:
    """Return all connections in the order in which a tick looks at them."""
    ordered = sorted(connection_ids)
    first = bisect.bisect_left(ordered, position)
    return ordered[first:] + ordered[:first]


def next_tick(
    cursor: Cursor,
    answers: Mapping[str, Answer],
    rules: Mapping[str, Rules],
    *,
    now: float,
    position: str = "",
) -> Tick:
    """Judge all answers; a connection without one stays as it is.

    Args:
        cursor: of the tick before.
        answers: by connection id.
        rules: by connection id, for all connections that the sensor looks at.
        now: epoch seconds of Dagster's clock, for the timeouts of deferred syncs.
        position: the connection that the next tick begins with.
    """
    known = {_key(connection_id) for connection_id in rules}
    marks = {key: mark for key, mark in cursor.marks.items() if key in known}
    verdicts = {
        connection_id: _judge(connection_id, rules[connection_id], cursor, answer, now)
        for connection_id, answer in answers.items()
    }
    marks |= {_key(connection_id): verdict.mark for connection_id, verdict in verdicts.items()}
    findings = [finding for verdict in verdicts.values() for finding in verdict.findings]
    return Tick(
        sorted(findings, key=lambda finding: _epoch(finding.sync)),
        [(id_, each) for id_, verdict in verdicts.items() for each in verdict.wanted],
        Cursor(position, marks),
    )


# --- what must be asked


def reaches_back(mark: Mark | None, listed: Sequence[Sync]) -> bool:
    """Whether a list holds something that was handled, so that no older page is needed.

    At the first look nothing was: what is older is asked for by other means.
    """
    return mark is None or any(digest(sync.id) in mark.handled for sync in listed)


def missing_open(mark: Mark | None, listed: Sequence[Sync]) -> list[str]:
    """Return the open syncs that a list does not hold."""
    ids = {sync.id for sync in listed}
    return [sync_id for sync_id in (mark.open if mark else ()) if sync_id not in ids]


def missing_deferred(answer: Answer) -> list[str]:
    """Return the syncs that an answer does not hold and that a deferred step counts on.

    They are its own whose ends nobody has reported, and those that were in the way of its start.
    """
    history = answer.history or History()
    own = [id_ for id_, ours in history.ours.items() if ours.deferred]
    in_the_way = [wanted.after_sync_id for wanted in history.wanted]
    known = {"", *(sync.id for sync in answer.listed), *answer.others}
    missing = [*(id_ for id_ in own if id_ not in history.reported), *in_the_way]
    return list(dict.fromkeys(id_ for id_ in missing if id_ not in known))


def needs_history(rules: Rules, mark: Mark | None, answer: Answer, now: float) -> bool:
    """Whether Dagster's event log must be read to judge an answer."""
    if _ended(rules, mark, answer):
        return True
    # Deferred syncs that run: whose are they, and when do their timeouts pass?
    deadlines = [(mark.open.get(sync.id, 0) if mark else 0) for sync in _running(answer)]
    return rules.deferred and any(deadline < now for deadline in deadlines)


def count_ended(rules: Rules, mark: Mark | None, answer: Answer) -> int:
    """Return how many ends an answer brings that are not handled yet."""
    return len(_ended(rules, mark, answer))


# --- judging one connection


@dataclass(frozen=True)
class _Verdict:
    findings: Sequence[Finding]
    wanted: Sequence[Wanted]
    mark: Mark


@dataclass(frozen=True)
class _End:
    """A sync that is over and not handled yet; `is_past`: it was over before the first look."""

    sync: Sync
    is_past: bool = False


def _judge(
    connection_id: str, rules: Rules, cursor: Cursor, answer: Answer, now: float
) -> _Verdict:
    mark = cursor.mark(connection_id)
    before, history = mark or Mark(), answer.history or History()
    findings: list[Finding] = []
    is_open: dict[str, int] = {}
    for sync in _running(answer):
        deadline = _deadline(before, history, sync)
        overdue = rules.deferred and deadline != 0 and deadline < now
        if overdue:
            told = deadline == ASKED_TO_STOP
            ours = history.ours.get(sync.id)
            findings.append(Finding(connection_id, sync, ours, overdue=True, told=told))
        is_open[sync.id] = ASKED_TO_STOP if overdue else deadline
    ended = _ended(rules, mark, answer)
    for end in ended:
        fate = _fate(end, history)
        if fate == "later":
            is_open[end.sync.id] = before.open.get(end.sync.id, 0)
        elif fate == "report":
            findings.append(Finding(connection_id, end.sync, history.ours.get(end.sync.id)))
    just_ended = {end.sync.id for end in ended}
    wanted = [
        each for each in history.wanted if each.after_sync_id in just_ended and not each.in_hand
    ]
    return _Verdict(findings, wanted, _next_mark(before, answer, is_open))


def _ended(rules: Rules, mark: Mark | None, answer: Answer) -> list[_End]:
    """Return the syncs that are over and not handled yet."""
    over = [sync for sync in answer.listed if sync.is_over]
    others = [sync for sync in answer.others.values() if sync is not None and sync.is_over]
    if mark is None:
        past = [_End(sync, is_past=True) for sync in (*over[rules.replay :], *others)]
        # What a step has deferred is reported, however long ago it ended.
        return [_End(sync) for sync in over[: rules.replay]] + (past if rules.deferred else [])
    were_open = [sync for sync in over if sync.id in mark.open]
    new = [sync for sync in _new(mark, answer.listed) if sync.is_over and sync.id not in mark.open]
    return [_End(sync) for sync in (*new, *were_open, *others)]


def _new(mark: Mark, listed: Sequence[Sync]) -> list[Sync]:
    """Return what stands above the oldest handled sync in a list and was not handled."""
    places = [place for place, sync in enumerate(listed) if digest(sync.id) in mark.handled]
    if places:
        return [sync for sync in listed[: places[-1]] if digest(sync.id) not in mark.handled]
    # What we remember is gone. A list that is short by mistake must not replay the past.
    return [sync for sync in listed if sync.started_at is None or _epoch(sync) >= mark.since]


def _running(answer: Answer) -> list[Sync]:
    others = [sync for sync in answer.others.values() if sync is not None]
    return [sync for sync in (*answer.listed, *others) if not sync.is_over]


def _deadline(before: Mark, history: History, sync: Sync) -> int:
    known = before.open.get(sync.id, 0)
    ours = history.ours.get(sync.id)
    return known or int(ours.deadline if ours and ours.deadline else 0)


def _fate(end: _End, history: History) -> Literal["report", "later", "nothing"]:
    """Decide what to do about a sync that is over: nothing if Dagster reported it or will do so."""
    if any(each.in_hand for each in history.wanted if each.after_sync_id == end.sync.id):
        return "later"
    if end.sync.id in history.reported:
        return "nothing"
    ours = history.ours.get(end.sync.id)
    if ours is not None and ours.deferred:
        return "report"
    return "nothing" if end.is_past else _fate_of_new(end.sync, ours, history)


def _fate_of_new(
    sync: Sync, ours: Ours | None, history: History
) -> Literal["report", "later", "nothing"]:
    if ours is None:
        return "later" if history.may_have_started else "report"
    if ours.in_hand:
        return "later"
    # The run that started it has failed, and says why.
    return "report" if sync.state is SyncState.SUCCEEDED else "nothing"


def _next_mark(before: Mark, answer: Answer, is_open: Mapping[str, int]) -> Mark:
    handled = [sync for sync in answer.listed if sync.is_over and sync.id not in is_open]
    digests = dict.fromkeys([digest(sync.id) for sync in handled[:ANCHORS]] + [*before.handled])
    since = int(_epoch(handled[0])) if handled else 0
    return Mark(
        tuple(digests)[:ANCHORS],
        max(before.since, since),
        dict(list(is_open.items())[:MAX_OPEN]),
    )


def _epoch(sync: Sync) -> float:
    return sync.started_at.timestamp() if sync.started_at else 0.0


def _key(connection_id: str) -> str:
    return digest(connection_id, CONNECTION_DIGEST_LENGTH)
