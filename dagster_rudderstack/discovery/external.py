"""The keys of tables that are not known assets: external assets."""

from collections.abc import Collection
from functools import lru_cache

import dagster as dg

from dagster_rudderstack.discovery.names import ascii_part, hash_digits, safe_part
from dagster_rudderstack.discovery.tables import UpstreamTable
from dagster_rudderstack.discovery.warehouses import spelled_names, usual_case

__all__ = ["external_key"]

UNKNOWN_WAREHOUSE = "warehouse"

PREFIX = "external"


def external_key(table: UpstreamTable, taken: Collection[dg.AssetKey] = ()) -> dg.AssetKey:
    """Return the key of a table without an asset: `snowflake/analytics/customers`.

    The key has at least two parts. For a dependency with a key of one part that no definition has,
    Dagster takes an asset of the same group whose key ends with that part.

    Args:
        table: The table.
        taken: The keys of other assets.
    """
    exact = table.spelled if table.name.exact else None
    spelled = spelled_names(table.parts, exact, table.warehouse)
    parts = [_part(each, table.warehouse) for each in spelled if each] or ["_"]
    if not all(spelled):
        # A folder without a name. Without digits the key would be that of the folder above.
        parts.append(hash_digits("/".join(spelled)))
    path = [safe_part((table.warehouse or UNKNOWN_WAREHOUSE).lower()), *parts]
    while dg.AssetKey(path) in taken:
        path.insert(0, PREFIX)
    return dg.AssetKey(path)


@lru_cache(maxsize=4096)
def _part(name: str, warehouse: str | None) -> str:
    """Return a part of a name in lower case, with the digits of a hash if that loses anything."""
    lower = name.lower()
    # `events_*` of BigQuery are all tables whose names begin like that.
    safe = "*".join(map(ascii_part, lower.split("*")))
    if safe == lower and usual_case(name, warehouse) == name:
        return safe
    return "_".join(part for part in (safe.strip("_"), hash_digits(name)) if part)
