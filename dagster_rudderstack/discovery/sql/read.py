"""Reads SQL models with sqlglot, if the extra `lineage` is installed.

The SQL is read when a workspace is discovered. The result is kept in the snapshot, so definitions
load without sqlglot.
"""

from __future__ import annotations

import importlib.util

from dagster_rudderstack.discovery.sql.lineage import QueryLineage

__all__ = ["can_read_queries", "read_query"]


def can_read_queries() -> bool:
    """Whether sqlglot is installed."""
    return importlib.util.find_spec("sqlglot") is not None


def read_query(sql: str, warehouse: str | None) -> QueryLineage:
    """Return what a query reads. If it cannot be read, see `QueryLineage.problem`.

    Args:
        sql: One SELECT, as RudderStack's SQL models are.
        warehouse: The kind of warehouse, as RudderStack calls it. None if it is unknown.

    Raises:
        ImportError: If sqlglot is not installed, see `can_read_queries`.
    """
    from dagster_rudderstack.discovery.sql.query import lineage_of  # noqa: PLC0415 - sqlglot is an extra

    return lineage_of(sql, warehouse)
