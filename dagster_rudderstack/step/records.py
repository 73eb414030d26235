"""What steps have written down about their syncs, read back from the event log."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import dagster as dg

from dagster_rudderstack.metadata import Metadata, MetadataKey
from dagster_rudderstack.step.attempt import IN_FLIGHT, QUEUED, STARTING, WITHDRAWN

__all__ = [
    "Note",
    "bool_of",
    "in_flight_among",
    "note_of",
    "still_wanted",
    "stops_among",
    "text_of",
]

FULL = "full"


@dataclass(frozen=True)
class Note:
    """One record of a sync.

    Attributes:
        state: one of `step.STARTING`, `IN_FLIGHT`, `QUEUED`, `CLOSED`, `FAILED`, `STOPPED`,
            `WITHDRAWN`.
        run_id: the run whose step wrote it.
        step: which of its steps.
        connection_id: the connection.
        sync_id: the sync; with `QUEUED` the one that is in the way; None: there was none yet.
        sync_type: what was asked for; None: RudderStack decides.
        partition: what the step was about; None: not partitioned.
        owned: whether the sync was started by us.
        known_sync_ids: with `STARTING`: the syncs that were there before.
        deadline: with a deferred sync: epoch seconds when its timeout passes; None: not deferred.
        retryable: with `FAILED`: whether trying again may end better.
        text: what a person reads.
    """

    state: str
    run_id: str
    step: str
    connection_id: str
    sync_id: str | None = None
    sync_type: str | None = None
    partition: str | None = None
    owned: bool = False
    known_sync_ids: frozenset[str] = frozenset()
    deadline: float | None = None
    retryable: bool = True
    text: str = ""


def note_of(record: dg.EventLogRecord) -> Note | None:
    """Return what an observation says about a sync; None if no step of ours wrote it."""
    observation = record.asset_observation
    metadata: Metadata = dict(observation.metadata) if observation else {}
    state, step = (text_of(metadata.get(k)) for k in (MetadataKey.STEP_STATE, MetadataKey.STEP))
    connection_id = text_of(metadata.get(MetadataKey.CONNECTION_ID))
    if observation is None or state is None or step is None or connection_id is None:
        return None
    deadline = metadata.get(MetadataKey.DEADLINE)
    return Note(
        state=state,
        run_id=record.run_id,
        step=step,
        connection_id=connection_id,
        sync_id=text_of(metadata.get(MetadataKey.SYNC_ID)),
        sync_type=text_of(metadata.get(MetadataKey.SYNC_TYPE)),
        partition=text_of(metadata.get(MetadataKey.PARTITION)),
        owned=bool_of(metadata.get(MetadataKey.OWNED)),
        known_sync_ids=_ids_of(metadata.get(MetadataKey.KNOWN_SYNC_IDS)),
        deadline=deadline.value if isinstance(deadline, dg.TimestampMetadataValue) else None,
        retryable=bool_of(metadata.get(MetadataKey.RETRYABLE), default=True),
        text=observation.description or "",
    )


def in_flight_among(notes: Sequence[Note]) -> dict[str, Note]:
    """Return the last word on each sync, by its id; `notes` is newest first."""
    words: dict[str, Note] = {}
    for note in reversed(notes):
        if note.state == IN_FLIGHT and note.sync_id is not None:
            words[note.sync_id] = _after(words.get(note.sync_id), note)
    return words


def _after(before: Note | None, note: Note) -> Note:
    """Return a later note; a deferred sync stays ours when another run attaches to it.

    A sync that a step waits for does not become one that the sensor may stop.
    """
    if before is None or not before.owned or (before.deadline is None) != (note.deadline is None):
        return note
    return replace(note, owned=True, sync_type=before.sync_type)


def still_wanted(notes: Sequence[Note]) -> list[Note]:
    """Return the deferred starts that no later start or stop has settled, one for each partition.

    A full sync brings what an incremental one brings, and not the other way round: who wants one is
    not served by less. What is withdrawn without a partition is all that was queued until then.

    Args:
        notes: newest first.
    """
    settled: dict[str | None, set[str | None]] = {}
    wanted: dict[str | None, Note] = {}
    for note in notes:
        if note.state == WITHDRAWN and note.partition is None:
            break
        if note.state in (STARTING, IN_FLIGHT):
            settled.setdefault(note.partition, set()).add(note.sync_type)
        elif note.state == WITHDRAWN:
            settled.setdefault(note.partition, set()).add(FULL)
        elif note.state == QUEUED and not _is_served(note, settled.get(note.partition)):
            newest = wanted.setdefault(note.partition, note)
            if note.sync_type == FULL:
                wanted[note.partition] = replace(newest, sync_type=FULL)
    return list(wanted.values())


def _is_served(note: Note, started: Collection[str | None] | None) -> bool:
    """Whether one of the sync types that were started later brings what a queued start wants."""
    return bool(started) and (note.sync_type != FULL or FULL in (started or ()))


def stops_among(records: Iterable[dg.EventLogRecord], connection_id: str) -> dict[str, str]:
    """Return what had deferred syncs stopped, by the sync's id: a run's id, or `BY_TIMEOUT`.

    Steps and sensors write it. What came first counts.

    Args:
        records: observations, newest first.
        connection_id: whose syncs.
    """
    stops: dict[str, str] = {}
    for record in records:
        metadata = record.asset_observation.metadata if record.asset_observation else {}
        stopped_by, sync_id, connection = (
            text_of(metadata.get(key))
            for key in (MetadataKey.STOPPED_BY, MetadataKey.SYNC_ID, MetadataKey.CONNECTION_ID)
        )
        if stopped_by and sync_id and connection == connection_id:
            stops[sync_id] = stopped_by
    return stops


def text_of(value: dg.MetadataValue | None) -> str | None:
    """Return the text of a metadata value; None if it is no text."""
    return value.value if isinstance(value, dg.TextMetadataValue) else None


def bool_of(value: dg.MetadataValue | None, *, default: bool = False) -> bool:
    """Return the truth of a metadata value, or the default if it is no boolean."""
    return bool(value.value) if isinstance(value, dg.BoolMetadataValue) else default


def _ids_of(value: dg.MetadataValue | None) -> frozenset[str]:
    data = value.data if isinstance(value, dg.JsonMetadataValue) else None
    return frozenset(str(each) for each in data) if isinstance(data, list) else frozenset()
