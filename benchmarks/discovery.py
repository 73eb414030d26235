"""How fast a large workspace is discovered, and how fast its definitions load from the snapshot."""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Numbers, watch
from dagster_rudderstack import (
    RudderStackResource,
    WorkspaceSnapshot,
    fetch_rudderstack_workspace,
    load_rudderstack_asset_specs,
    refresh_rudderstack_snapshot,
)
from dagster_rudderstack.testing import LocalRudderStack

SCRIPT = Path(__file__).with_name("loads.py")
CONNECTIONS, SOURCES, DESTINATIONS = 1000, 300, 200
LATENCY_SECONDS = 0.1

MODEL = """
with spent as (
  select o.customer_id, sum(o.amount) as total, max(o.created_at) as last_order
  from analytics.orders_{number} as o
  where o.status <> 'void'
  group by 1
)
select c.id, lower(c.email) as email, c.first_name || ' ' || c.last_name as full_name,
  coalesce(spent.total, 0) as lifetime_value, spent.last_order
from analytics.customers_{number} as c
left join spent on spent.customer_id = c.id
"""
"""A SQL model as people write them; every other source is one."""


def fill(server: LocalRudderStack) -> None:
    """Add the workspace: tables and SQL models, each with connections that map a few columns."""
    for number in range(SOURCES):
        if number % 2:
            table = {"schema": "analytics", "table": f"table_{number}"}
            server.add_source(f"s{number}", name=f"Table {number}", config=table)
        else:
            sql = {"sql": MODEL.format(number=number)}
            server.add_source(f"s{number}", name=f"Model {number}", source_type="model", config=sql)
    for number in range(DESTINATIONS):
        server.add_destination(f"d{number}", name=f"Tool {number}", type="HS")
    for number in range(CONNECTIONS):
        server.add_connection(
            f"c{number}",
            f"s{number % SOURCES}",
            f"d{number % DESTINATIONS}",
            object=f"Object {number // (SOURCES * 2)}",
            identifiers={"id": "external_id"},
            mappings={"email": "email", "full_name": "name", "lifetime_value": "ltv"},
        )


@dataclass(frozen=True)
class Discovered:
    """Seconds of a discovery, of the walk that asks for one page after the other, and requests."""

    ours: Numbers
    walk: Numbers
    requests: int


def discover(repeats: int) -> Discovered:
    """Discover the workspace, and walk through it, in turns."""
    ours, walk = [], []
    with LocalRudderStack(latency_seconds=LATENCY_SECONDS) as server:
        fill(server)
        rudderstack = RudderStackResource(access_token=server.access_token, api_url=server.url)
        fetch_rudderstack_workspace(rudderstack)  # imports sqlglot
        for _ in range(repeats):
            server.clear_requests()
            ours.append(_seconds(lambda: _check(fetch_rudderstack_workspace(rudderstack))))
            requests = len(server.requests)
            walk.append(_seconds(lambda: _walk(rudderstack)))
    return Discovered(Numbers(ours), Numbers(walk), requests)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _check(snapshot: WorkspaceSnapshot) -> None:
    sizes = (len(snapshot.connections), len(snapshot.sources), len(snapshot.destinations))
    if sizes != (CONNECTIONS, SOURCES, DESTINATIONS) or len(snapshot.queries) != SOURCES // 2:
        raise RuntimeError(f"The snapshot has {sizes} and {len(snapshot.queries)} queries")


def _walk(rudderstack: RudderStackResource) -> None:
    with rudderstack as opened:
        client = opened.get_client()
        found = (client.list_connections(), client.list_sources(), client.list_destinations())
    if tuple(len(each) for each in found) != (CONNECTIONS, SOURCES, DESTINATIONS):
        raise RuntimeError("The walk has missed a page")


@dataclass(frozen=True)
class Loaded:
    """Seconds to load definitions from the snapshot, and to load as many plain assets."""

    ours: Numbers
    plain: Numbers


def load(repeats: int) -> Loaded:
    """Load the definitions of the snapshot, and plain assets, in turns, each in a new process.

    The plain assets depend on the same tables, so that Dagster has the same graph to make. Of the
    RudderStack nothing is left when the definitions load.
    """
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    with tempfile.TemporaryDirectory() as folder:
        snapshot, graph = Path(folder, "rudderstack.json"), Path(folder, "graph.json")
        with LocalRudderStack() as server:
            fill(server)
            rudderstack = RudderStackResource(access_token=server.access_token, api_url=server.url)
            refresh_rudderstack_snapshot(rudderstack, snapshot)
        specs = load_rudderstack_asset_specs(rudderstack, snapshot=snapshot)
        graph.write_text(json.dumps([[dep.asset_key.path for dep in spec.deps] for spec in specs]))
        for _ in range(repeats):
            for who, file in (("plain", graph), ("ours", snapshot)):
                watched = watch([sys.executable, str(SCRIPT), who, str(file)], cwd="/")
                seconds[who].append(float(watched.output))
    return Loaded(Numbers(seconds["ours"]), Numbers(seconds["plain"]))


if __name__ == "__main__":
    found = discover(5)
    print(
        f"discovery: {found.ours.text(' s', 2)} in {found.requests} requests, "
        f"one page after the other {found.walk.text(' s', 2)}"
    )
    loaded = load(5)
    print(f"load: {loaded.ours.text(' s', 2)}, plain assets {loaded.plain.text(' s', 2)}")
    print(f"ratio of the medians: {loaded.ours.median / loaded.plain.median:.2f}")
