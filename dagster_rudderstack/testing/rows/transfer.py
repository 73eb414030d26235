"""Moves the rows of a warehouse into a destination file.

The destination file also holds a hash of each row that a connection has delivered. So a new server
on the same files continues where the old one ended.
"""

import hashlib
import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dagster_rudderstack.testing.rows.destinations import DestinationFile, open_destination
from dagster_rudderstack.testing.rows.duckdb_files import InterruptedWork
from dagster_rudderstack.testing.rows.duckdb_values import Value, canonical_text
from dagster_rudderstack.testing.rows.warehouse import Column, Extract, read_source
from dagster_rudderstack.testing.scripts import RowCounts
from dagster_rudderstack.testing.tables import TableSync

_ROWS_PER_BATCH = 200


@dataclass(frozen=True)
class Plan:
    """What a sync does: `full` delivers unchanged rows as well, `mirror` deletes vanished rows."""

    connection_id: str
    full: bool = False
    mirror: bool = False


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
        )


def _digest(names: Sequence[str], values: Sequence[Value]) -> str:
    # With the field names: another mapping makes another record of the same row.
    text = json.dumps([names, [canonical_text(value) for value in values]])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def move_rows(
    table: TableSync, plan: Plan, progress: Progress, must_stop: Callable[[], bool]
) -> None:
    """Deliver the rows of the source to the destination.

    The counts do not include rows that a mirror deletes, which are not rows of the source.

    Updates `progress` on the way. Raises InterruptedWork when `must_stop` returns true; the rows
    written so far are kept. Also raises the errors of DuckDB and SQLite.
    """
    extract = read_source(table, must_stop)
    field_map = _field_map(table, extract)
    rules = _Rules(table, field_map)
    records = _unique([field_map.record(row) for row in extract.rows])
    progress.total = len(extract.rows)
    with _destination(Path(table.destination), must_stop) as destination:
        destination.prepare(table.destination_table, field_map.fields)
        _deliver(_Job(table, plan, field_map, rules, destination), records, progress, must_stop)


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


def _deliver(
    job: _Job, records: Sequence[Record], progress: Progress, must_stop: Callable[[], bool]
) -> None:
    known = job.destination.delivered_hashes(job.plan.connection_id)
    changed = [
        each for each in records if job.plan.full or known.get(each.key or "") != each.digest
    ]
    progress.changed = len(changed)
    for start in range(0, len(changed), _ROWS_PER_BATCH):
        if must_stop():
            raise InterruptedWork
        _write_batch(job, changed[start : start + _ROWS_PER_BATCH], progress)
    if job.plan.mirror:
        _delete_vanished(job, known, records)


def _write_batch(job: _Job, batch: Sequence[Record], progress: Progress) -> None:
    valid = [record for record in batch if job.rules.allow(record)]
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


class _Rules:
    """The rules of the destination for its fields."""

    def __init__(self, table: TableSync, field_map: FieldMap) -> None:
        self._index = {field.name: index for index, field in enumerate(field_map.fields)}
        self._required = [self._index_of(name) for name in table.required]
        self._patterns = {
            self._index_of(name): re.compile(pattern) for name, pattern in table.patterns.items()
        }

    def _index_of(self, name: str) -> int:
        if name not in self._index:
            raise LookupError(f'The destination has a rule for "{name}", but no column maps to it')
        return self._index[name]

    def allow(self, record: Record) -> bool:
        """Return whether the destination accepts the record."""
        if record.key is None:
            return False
        if any(_is_blank(record.values[index]) for index in self._required):
            return False
        return all(
            record.values[index] is None or pattern.fullmatch(str(record.values[index]))
            for index, pattern in self._patterns.items()
        )


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


_file_locks: dict[Path, threading.Lock] = defaultdict(threading.Lock)


@contextmanager
def _destination(path: Path, must_stop: Callable[[], bool]) -> Iterator[DestinationFile]:
    """Open the destination for one sync at a time, because two connections may share a file."""
    with _file_locks[path.resolve()], closing(open_destination(path, must_stop)) as destination:
        yield destination
