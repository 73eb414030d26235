"""Load definitions as a code server does, and print the seconds; imports are not counted.

`python loads.py ours SNAPSHOT` or `python loads.py plain GRAPH`.
"""

import json
import sys
import time
from pathlib import Path

import dagster as dg

# What a code server makes of definitions for the webserver and the daemon; it has no public name.
from dagster._core.remote_representation.external_data import RepositorySnap

from dagster_rudderstack import RudderStackResource, build_rudderstack_assets_definitions

RESOURCE = RudderStackResource(
    access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"), api_url="https://rudderstack.invalid"
)


def ours(snapshot: Path) -> list[dg.AssetsDefinition]:
    """Return an asset for each connection of the snapshot."""
    return build_rudderstack_assets_definitions(RESOURCE, snapshot=snapshot)


def plain(graph: Path) -> list[dg.AssetsDefinition]:
    """Return as many assets without anything, on the same tables."""
    return [_plain(number, deps) for number, deps in enumerate(json.loads(graph.read_text()))]


def _plain(number: int, deps: list[list[str]]) -> dg.AssetsDefinition:
    @dg.asset(name=f"plain_{number}", deps=[dg.AssetKey(path) for path in deps])
    def asset() -> None: ...

    return asset


def main(who: str, file: Path) -> None:
    """Load once."""
    began = time.perf_counter()
    assets = {"ours": ours, "plain": plain}[who](file)
    definitions = dg.Definitions(assets=assets, resources={"rudderstack": RESOURCE})
    RepositorySnap.from_def(definitions.get_repository_def())
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
