"""What a file of a snapshot cannot hold is skipped, and costs nothing else its snapshot."""

import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from dagster_rudderstack import (
    DiscoveryError,
    RudderStackResource,
    WorkspaceSnapshot,
    load_rudderstack_asset_specs,
    refresh_rudderstack_snapshot,
)
from dagster_rudderstack.api.models import Connection, Destination, Source
from dagster_rudderstack.discovery.snapshot import storable
from dagster_rudderstack.discovery.sql.lineage import QueryLineage, TableName
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.discovery.conftest import AUDIENCE, CONTACTS, fill, keys_of

LONE_HALF = "a\ud83d"
"""Half of a surrogate pair, which UTF-8 cannot encode."""

GOOD = WorkspaceSnapshot(
    fetched_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
    connections=(Connection(id="c", source_id="s", destination_id="d"),),
    sources=(Source(id="s", name="Users", source_type="model"),),
    destinations=(Destination(id="d", name="CRM", type="HS"),),
    queries={"s": QueryLineage(tables=(TableName(name="users"),))},
)


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


BROKEN = {
    "connection 'c2'": {
        "connections": GOOD.connections[0].model_copy(
            update={"id": "c2", "constants": ({"key": LONE_HALF},)}
        )
    },
    "source 'Users' (s2)": {
        "sources": GOOD.sources[0].model_copy(
            update={"id": "s2", "config": {"schema": nested(300)}}
        )
    },
    "destination 'CRM a' (d2)": {
        "destinations": GOOD.destinations[0].model_copy(
            update={"id": "d2", "name": f"CRM {LONE_HALF}"}
        )
    },
}


@pytest.mark.parametrize(("label", "more"), BROKEN.items(), ids=BROKEN.keys())
def test_not_storable(
    label: str, more: Mapping[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """What a file cannot hold is skipped with a warning that names it. All else is kept."""
    ((field, item),) = more.items()
    snapshot = GOOD.model_copy(update={field: (*getattr(GOOD, field), item)})

    with caplog.at_level(logging.WARNING):
        kept = storable(snapshot, logging.getLogger("test"))

    assert kept == GOOD
    (message,) = caplog.messages
    assert message.startswith(f"Skipped {label}. ")
    assert "cannot be written as JSON" in message


def test_not_storable__query(caplog: pytest.LogCaptureFixture) -> None:
    """Of a source whose tables a file cannot hold, only the tables are skipped."""
    query = QueryLineage(tables=(TableName.model_construct(name=LONE_HALF),))
    snapshot = GOOD.model_copy(update={"queries": {"s": query}})

    kept = storable(snapshot, logging.getLogger("test"))

    assert kept == GOOD.model_copy(update={"queries": {}})
    assert "Skipped the SQL of source 'Users' (s)" in caplog.text


def test_not_storable__source_with_query() -> None:
    """With a source, its tables are skipped too."""
    source = GOOD.sources[0].model_copy(update={"config": {"sql": LONE_HALF}})

    kept = storable(GOOD.model_copy(update={"sources": (source,)}), logging.getLogger("test"))

    assert kept == GOOD.model_copy(update={"sources": (), "queries": {}})


def test_dumps__not_storable() -> None:
    """A snapshot that JSON cannot hold raises the error of the library."""
    source = GOOD.sources[0].model_copy(update={"config": {"sql": LONE_HALF}})

    with pytest.raises(DiscoveryError, match="cannot be written as JSON"):
        GOOD.model_copy(update={"sources": (source,)}).dumps()


@pytest.mark.parametrize(
    "value",
    [nested(300), {"a": nested(300)}, float("nan"), 10**4000],
    ids=["list", "object", "not a number", "huge number"],
)
def test_config__no_text(
    server: LocalRudderStack, rudderstack: RudderStackResource, tmp_path: Path, value: Any
) -> None:
    """A value of a source's config that is no text is left out. The source keeps its asset."""
    fill(server)
    config = {"schema": value, "table": "people", "primaryKey": value}
    server.add_source("odd", name="Odd", config=config)
    server.add_connection("c", "odd", "hubspot")
    path = tmp_path / "rudderstack.json"

    snapshot = refresh_rudderstack_snapshot(rudderstack, path)

    (source,) = (source for source in snapshot.sources if source.id == "odd")
    assert source.config == {"table": "people"}
    specs = load_rudderstack_asset_specs(rudderstack, snapshot=path)
    assert keys_of(specs) == {CONTACTS, AUDIENCE, "rudderstack/hubspot/odd"}
