"""Moves the rows of a warehouse into a destination file.

The destination file also holds a hash of each row that a connection has delivered. So a new server
on the same files continues where the old one ended.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dagster_rudderstack.testing.rows.destinations import DestinationFile, open_destination
from dagster_rudderstack.testing.rows.duckdb_files import InterruptedWork, file_lock
from dagster_rudderstack.testing.rows.duckdb_values import Value, canonical_text
from dagster_rudderstack.testing.rows.sync_log import (
    LogSettings,
    SentRow,
    SyncLog,
    write_sync_log,
)
from dagster_rudderstack.testing.rows.warehouse import Column, Extract, read_source
from dagster_rudderstack.testing.scripts import RowCounts
from dagster_rudderstack.testing.tables import TableSync

_ROWS_PER_BATCH = 200


@dataclass(frozen=True)
class Plan:
    """What a sync does.

    `full` delivers unchanged rows as well, `mirror` deletes vanished rows. With `reads_files`, the
    SQL of the source may read other files than the warehouse.
    """

    connection_id: str
    sync_id: str
    started_at: float
    full: bool = False
    mirror: bool = False
    reads_files: bool = True
    log: LogSettings = field(default_factory=LogSettings)


@dataclass
class Progress:
    """The rows so far. None until the number is known."""

    total: int | None = None
    changed: int | None = None
    succeeded: int = 0
    failed: int = 0

    @property
    def rows(self) -> RowCounts:
        """The counts as a sync shows them."""
        return RowCounts(self.total, self.changed, self.succeeded, self.failed)


@dataclass(frozen=True)
class Record:
    """A row for the destination. `key` is None if the primary key is null."""

    key: str | None
    digest: str
    values: Sequence[Value]
    row: Sequence[Value]
    primary_key: Value


@dataclass(frozen=True)
class FieldMap:
    """The columns to deliver, and their fields in the destination."""

    indexes: Sequence[int]
    fields: Sequence[Column]
    key_index: int
    key_field: str

    def record(self, row: Sequence[Value]) -> Record:
        """Convert a row of the source."""
        values = [row[index] for index in self.indexes]
        key = row[self.key_index]
        return Record(
            key=None if key is None else canonical_text(key),
            digest=_digest([field.name for field in self.fields], values),
            values=values,
            row=row,
            primary_key=key,
        )


def _digest(names: Sequence[str], values: Sequence[Value]) -> str:
    # With the field names: another mapping makes another record of the same row.
    text = json.dumps([names, [canonical_text(value) for value in values]])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def move_rows(
    table: TableSync,
    plan: Plan,
    progress: Progress,
    must_stop: Callable[[], bool],
    clock: Callable[[], float],
) -> None:
    """Deliver the rows of the source to the destination, and log them in the warehouse.

    The counts do not include rows that a mirror deletes, which are not rows of the source.

    Updates `progress` on the way. Raises InterruptedWork when `must_stop` returns true; the rows
    written so far are kept. Also raises the errors of DuckDB and SQLite.
    """
    extract = read_source(table, must_stop, reads_files=plan.reads_files)
    field_map = _field_map(table, extract)
    rules = _Rules(table, field_map)
    records = _unique([field_map.record(row) for row in extract.rows])
    progress.total = len(extract.rows)
    log = SyncLog(plan.connection_id, plan.sync_id, plan.started_at, extract.columns)
    try:
        with _destination(Path(table.destination), must_stop) as destination:
            destination.prepare(table.destination_table, field_map.fields)
            job = _Job(table, plan, field_map, rules, destination, log)
            _deliver(job, records, progress, must_stop)
    finally:
        if plan.log.enabled:
            write_sync_log(Path(table.warehouse), log, plan.log, clock(), must_stop)


def _unique(records: Sequence[Record]) -> Sequence[Record]:
    """Keep the last of the records with the same key, as an upsert does."""
    last = {record.key: index for index, record in enumerate(records)}
    return [
        record
        for index, record in enumerate(records)
        if record.key is None or last[record.key] == index
    ]


@dataclass(frozen=True)
class _Job:
    table: TableSync
    plan: Plan
    field_map: FieldMap
    rules: "_Rules"
    destination: DestinationFile
    log: SyncLog


def _deliver(
    job: _Job, records: Sequence[Record], progress: Progress, must_stop: Callable[[], bool]
) -> None:
    known = job.destination.delivered_hashes(job.plan.connection_id)
    operations = {id(each): _operation(job, each, known) for each in records}
    changed = [each for each in records if operations[id(each)] != "unchanged"]
    job.log.snapshot += [(each.row, operations[id(each)]) for each in records if each.key]
    progress.changed = len(changed)
    for start in range(0, len(changed), _ROWS_PER_BATCH):
        if must_stop():
            raise InterruptedWork
        batch = changed[start : start + _ROWS_PER_BATCH]
        _write_batch(job, batch, progress)
        job.log.sent += [
            SentRow(each.primary_key, operations[id(each)], job.rules.reason(each))
            for each in batch
        ]
    if job.plan.mirror:
        _delete_vanished(job, known, records)


def _operation(job: _Job, record: Record, known: Mapping[str, str]) -> str:
    """Return whether a sync inserts or updates a row, or leaves it unchanged."""
    key = record.key or ""
    if known.get(key) == record.digest and not job.plan.full:
        return "unchanged"
    return "update" if key in known else "insert"


def _write_batch(job: _Job, batch: Sequence[Record], progress: Progress) -> None:
    valid = [record for record in batch if job.rules.reason(record) is None]
    job.destination.upsert(
        job.table.destination_table,
        job.field_map.fields,
        job.field_map.key_field,
        [record.values for record in valid],
    )
    # Rejected rows are not recorded, so that the next sync tries them again.
    job.destination.record_delivered(
        job.plan.connection_id, [(record.key or "", record.digest) for record in valid]
    )
    job.destination.commit()
    progress.succeeded += len(valid)
    progress.failed += len(batch) - len(valid)


def _delete_vanished(job: _Job, known: Mapping[str, str], records: Sequence[Record]) -> None:
    vanished = set(known) - {record.key for record in records}
    job.destination.delete(job.table.destination_table, job.field_map.key_field, vanished)
    job.destination.forget(job.plan.connection_id, vanished)
    job.destination.commit()
    # A key is recorded as JSON, except for one of bytes.
    job.log.sent += [SentRow(_key_of(key), "delete") for key in sorted(vanished)]


def _key_of(text: str) -> Value:
    return text if text.startswith("bytes ") else json.loads(text)


class _Rules:
    """The rules of the destination for its fields."""

    def __init__(self, table: TableSync, field_map: FieldMap) -> None:
        self._fields = field_map.fields
        self._index = {field.name: index for index, field in enumerate(field_map.fields)}
        self._required = [self._index_of(name) for name in table.required]
        self._patterns = {
            self._index_of(name): re.compile(pattern) for name, pattern in table.patterns.items()
        }

    def _index_of(self, name: str) -> int:
        if name not in self._index:
            raise LookupError(f'The destination has a rule for "{name}", but no column maps to it')
        return self._index[name]

    def reason(self, record: Record) -> str | None:
        """Return why the destination rejects the record. None if it accepts it."""
        if record.key is None:
            return "The primary key is null"
        for index in self._required:
            if _is_blank(record.values[index]):
                return f'The field "{self._fields[index].name}" is required'
        for index, pattern in self._patterns.items():
            value = record.values[index]
            if value is not None and not pattern.fullmatch(str(value)):
                return f'The field "{self._fields[index].name}" has an invalid value'
        return None


def _is_blank(value: Value) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _field_map(table: TableSync, extract: Extract) -> FieldMap:
    mapped = dict(table.mappings or {column.name: column.name for column in extract.columns})
    mapped.setdefault(table.primary_key, table.primary_key)
    indexes = [extract.index(name) for name in mapped]
    return FieldMap(
        indexes=indexes,
        fields=[
            Column(field, extract.columns[index].type)
            for field, index in zip(mapped.values(), indexes, strict=True)
        ],
        key_index=extract.index(table.primary_key),
        key_field=mapped[table.primary_key],
    )


@contextmanager
def _destination(path: Path, must_stop: Callable[[], bool]) -> Iterator[DestinationFile]:
    """Open the destination for one sync at a time, because two connections may share a file."""
    with file_lock(path), closing(open_destination(path, must_stop)) as destination:
        yield destination
