"""The kinds of warehouses that RudderStack reads, and the case of the names in each."""

import re

__all__ = ["CASELESS", "is_elsewhere", "known_warehouse", "spelled_names", "usual_case"]

_OTHER_NAMES = {
    "bigquery": ("bq", "gcpbigquery", "googlebigquery"),
    "clickhouse": (),
    "databricks": ("databrickssql", "deltalake"),
    "mysql": (),
    "postgres": ("pg", "postgresql"),
    "redshift": ("amazonredshift", "awsredshift", "rs"),
    "s3": ("amazons3", "awss3"),
    "sftp": (),
    "snowflake": (),
    "trino": (),
}
_KNOWN = {each: name for name, others in _OTHER_NAMES.items() for each in (name, *others)}

QUERY_ENGINE = "trino"
"""A warehouse whose tables are stored elsewhere, each catalog in a storage of its own."""

CASELESS = frozenset({"databricks", "redshift", "trino"})
"""Warehouses for which `Users` and `users` are one table, even in quotes."""


def known_warehouse(kind: str | None) -> str | None:
    """Return a kind of storage as RudderStack names its warehouse. None if it reads no such."""
    return _KNOWN.get(re.sub(r"[^a-z0-9]", "", kind.casefold())) if kind else None


def is_elsewhere(storage: str | None, warehouse: str | None) -> bool:
    """Whether an asset is stored in another warehouse than the one that a source reads.

    Not if one of them is unknown. A storage such as DuckDB or Iceberg may stand for any warehouse,
    as in development, or be read by one. A source of Trino reads tables of all storages. But a
    table that Trino has stored is not read by a source of another warehouse.
    """
    here, there = known_warehouse(warehouse), known_warehouse(storage)
    return here != QUERY_ENGINE and here is not None and there is not None and here != there


def usual_case(name: str, warehouse: str | None) -> str:
    """Return a name in the case in which a warehouse stores names without quotes."""
    return name.upper() if known_warehouse(warehouse) == "snowflake" else name.lower()


def spelled_names(
    parts: tuple[str, ...], exact: tuple[str, ...] | None, warehouse: str | None
) -> tuple[str, ...]:
    """Return the parts of a table's name so that two spellings of one table are equal.

    Args:
        parts: The parts as the source has them.
        exact: The parts as the warehouse spells them, if they are known to differ.
        warehouse: The kind of warehouse.
    """
    kind = known_warehouse(warehouse)
    if kind in CASELESS:
        return tuple(part.lower() for part in parts)
    if kind == "snowflake" and exact is None:
        # A name that is all in lower case was typed without regard to case: almost no table of
        # Snowflake has such a name.
        return tuple(part.upper() if part == part.lower() else part for part in parts)
    return exact or parts
