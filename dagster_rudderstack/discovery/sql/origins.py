"""Finds the columns of tables that a value is made of."""

from __future__ import annotations

from dagster_rudderstack.discovery.sql.relations import (
    ColumnOf,
    Either,
    Output,
    TableColumn,
    Unknown,
    Value,
)

__all__ = ["OriginFinder", "Origins"]

Origins = frozenset[TableColumn]


class OriginFinder:
    """Finds the origins of values.

    It follows all columns that can be reached, each once. So recursive queries end, and the result
    does not depend on which column was asked for first.
    """

    def __init__(self) -> None:
        self._values: dict[ColumnOf | Output, Value] = {}
        self._decided: dict[Either, Origins | None] = {}
        self._deciding: set[Either] = set()

    def origins(self, value: Value) -> Origins | None:
        """Return the columns that a value is made of. None if they cannot be known."""
        found: set[TableColumn] = set()
        seen: set[ColumnOf | Output] = set()
        waiting = list(value)
        while waiting:
            part = waiting.pop()
            if isinstance(part, Unknown):
                return None
            if isinstance(part, TableColumn):
                found.add(part)
            elif isinstance(part, Either):
                origins = self._decide(part)
                if origins is None:
                    return None
                found |= origins
            elif part not in seen:
                seen.add(part)
                waiting += self._read(part)
        return frozenset(found)

    def _read(self, part: ColumnOf | Output) -> Value:
        if part not in self._values:
            self._values[part] = (
                part.read() if isinstance(part, Output) else part.relation.value(part.column)
            )
        return self._values[part]

    def _decide(self, either: Either) -> Origins | None:
        """Return the origins that all readings have. None if they differ."""
        if either in self._deciding:
            # It depends on itself, so it is unknown, whichever column leads to it first.
            return None
        if either not in self._decided:
            self._deciding.add(either)
            readings = [self.origins(reading) for reading in either.readings]
            self._deciding.discard(either)
            self._decided[either] = readings[0] if len(set(readings)) == 1 else None
        return self._decided[either]
