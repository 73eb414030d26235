"""Loads definitions as a code server does, and prints the seconds without the imports.

A script of `discovery`:

    python load_definitions.py ours SNAPSHOT
    python load_definitions.py plain GRAPH
"""

import json
import sys
import time
from pathlib import Path

import dagster as dg

# A code server sends this to the webserver and the daemon. It has no public name.
from dagster._core.remote_representation.external_data import RepositorySnap

from dagster_rudderstack import RudderStackResource, build_rudderstack_assets_definitions

RESOURCE = RudderStackResource(
    access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"), api_url="https://rudderstack.invalid"
)


def ours(snapshot: Path) -> list[dg.AssetsDefinition]:
    """Return the assets of the snapshot."""
    return build_rudderstack_assets_definitions(RESOURCE, snapshot=snapshot)


def plain(graph: Path) -> list[dg.AssetsDefinition]:
    """Return as many empty assets with the same dependencies."""
    return [_plain(number, deps) for number, deps in enumerate(json.loads(graph.read_text()))]


def _plain(number: int, deps: list[list[str]]) -> dg.AssetsDefinition:
    @dg.asset(name=f"plain_{number}", deps=[dg.AssetKey(path) for path in deps])
    def asset() -> None: ...

    return asset


def main(who: str, file: Path) -> None:
    """Load the definitions once."""
    began = time.perf_counter()
    assets = {"ours": ours, "plain": plain}[who](file)
    definitions = dg.Definitions(assets=assets, resources={"rudderstack": RESOURCE})
    RepositorySnap.from_def(definitions.get_repository_def())
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
