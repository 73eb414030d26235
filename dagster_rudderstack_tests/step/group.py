"""A step of many connections, for the tests of a step."""

import dagster as dg

from dagster_rudderstack import build_rudderstack_sync_assets
from dagster_rudderstack.testing import LocalRudderStack, SyncScript

SHORT = SyncScript(duration_seconds=0.1, rows_total=10)
FAILING = SyncScript(status="failed", error="no such table")


def group(*names: str, **options: object) -> dg.AssetsDefinition:
    """Return a step that syncs connections, each to an asset of the same name."""
    return build_rudderstack_sync_assets(
        connections={name: name for name in names},
        name="activation",
        **options,  # type: ignore[arg-type]
    )


def add(server: LocalRudderStack, *names: str, script: SyncScript = SHORT) -> None:
    for name in names:
        server.add_connection(name, script=script)


def starts(server: LocalRudderStack) -> dict[str, int]:
    """Return how often a sync of each connection was started."""
    counts: dict[str, int] = {}
    for request in server.starts():
        counts[request.connection_id or ""] = counts.get(request.connection_id or "", 0) + 1
    return counts
