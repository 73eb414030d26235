"""Discovery of a large workspace, and the load of its definitions from a snapshot."""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Numbers, ratio_text, watch
from benchmarks.report import Row, Section, Settings
from dagster_rudderstack import (
    RudderStackResource,
    WorkspaceSnapshot,
    fetch_rudderstack_workspace,
    load_rudderstack_asset_specs,
    refresh_rudderstack_snapshot,
)
from dagster_rudderstack.testing import LocalRudderStack

SCRIPT = Path(__file__).with_name("load_definitions.py")
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
"""A typical SQL model. Every other source is one."""


def fill(server: LocalRudderStack) -> None:
    """Add the objects of the workspace: tables and SQL models, and connections that map columns."""
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
    """Seconds of a discovery and of sequential requests, and the number of requests."""

    ours: Numbers
    sequential: Numbers
    requests: int


def discover(repeats: int) -> Discovered:
    """Discover the workspace, and list it sequentially, in turn."""
    ours, sequential = [], []
    with LocalRudderStack(latency_seconds=LATENCY_SECONDS) as server:
        fill(server)
        rudderstack = RudderStackResource(access_token=server.access_token, api_url=server.url)
        fetch_rudderstack_workspace(rudderstack)  # the first call imports sqlglot
        for _ in range(repeats):
            server.clear_requests()
            ours.append(_seconds(lambda: _check(fetch_rudderstack_workspace(rudderstack))))
            requests = len(server.requests)
            sequential.append(_seconds(lambda: _list_sequentially(rudderstack)))
    return Discovered(Numbers(ours), Numbers(sequential), requests)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _check(snapshot: WorkspaceSnapshot) -> None:
    sizes = (len(snapshot.connections), len(snapshot.sources), len(snapshot.destinations))
    if sizes != (CONNECTIONS, SOURCES, DESTINATIONS) or len(snapshot.queries) != SOURCES // 2:
        raise RuntimeError(f"The snapshot has {sizes} and {len(snapshot.queries)} queries")


def _list_sequentially(rudderstack: RudderStackResource) -> None:
    with rudderstack as opened:
        client = opened.get_client()
        found = (client.list_connections(), client.list_sources(), client.list_destinations())
    if tuple(len(each) for each in found) != (CONNECTIONS, SOURCES, DESTINATIONS):
        raise RuntimeError("A page is missing")


@dataclass(frozen=True)
class Loaded:
    """Seconds to load definitions from the snapshot, and to load as many plain assets."""

    ours: Numbers
    plain: Numbers


def load(repeats: int) -> Loaded:
    """Load the definitions of the snapshot, and plain assets, in turn, each in a new process.

    The plain assets have the same dependencies, so that Dagster builds the same graph. The local
    RudderStack is closed before the definitions load.
    """
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    with tempfile.TemporaryDirectory() as folder:
        snapshot, graph = Path(folder, "snapshot.json"), Path(folder, "graph.json")
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


def section(settings: Settings) -> Section:
    """Measure the discovery and the load, and return the rows."""
    found = discover(settings.repeats)
    loaded = load(settings.repeats)
    ratio = loaded.ours.median / loaded.plain.median
    size = f"{CONNECTIONS:,} connections, {SOURCES} sources and "
    return Section(
        [
            Row(
                f"Discovery of {size}{DESTINATIONS} destinations, 100 ms per answer",
                f"sequential requests: {found.sequential.text(' s')}",
                found.ours.text(" s"),
                ratio_text(found.sequential.over(found.ours)),
                "at most 3 s",
                found.ours.median <= 3,
            ),
            Row(
                "Load of their definitions from a snapshot, without requests",
                f"plain assets with the same dependencies: {loaded.plain.text(' s')}",
                loaded.ours.text(" s"),
                f"{ratio:.2g}x the plain assets",
                "at most 2x",
                ratio <= 2,
            ),
        ]
    )
