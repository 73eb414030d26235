"""Reads assets with Dagster's GraphQL, as its pages do."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

QUERY = """
query($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) {
    ... on AssetNode {
      kinds
      dependencyKeys { path }
      metadataEntries {
        ... on TableColumnLineageMetadataEntry {
          lineage { columnName columnDeps { assetKey { path } columnName } }
        }
        ... on TableSchemaMetadataEntry { schema { columns { name } } }
      }
    }
  }
}
"""


def asset_node(
    location: Sequence[str], environment: Mapping[str, str], key: str, cwd: Path | None = None
) -> Any:
    """Return the node of an asset of a code location."""
    answer = Path(environment["DAGSTER_HOME"], "answer.json")
    command = [
        str(Path(sys.executable).with_name("dagster-graphql")),
        *location,
        *("--text", QUERY),
        *("--variables", json.dumps({"key": {"path": key.split("/")}})),
        *("--output", str(answer)),
    ]
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(answer.read_text())["data"]["assetNodeOrError"]


def upstream_of(node: Any) -> set[str]:
    """Return the keys of the assets that an asset depends on."""
    return {"/".join(each["path"]) for each in node["dependencyKeys"]}


def column_lineage_of(node: Any) -> dict[str, list[tuple[str, str]]]:
    """Return the columns of an asset, with the upstream assets and columns of each."""
    (lineage,) = [entry["lineage"] for entry in node["metadataEntries"] if "lineage" in entry]
    return {
        each["columnName"]: [
            ("/".join(dep["assetKey"]["path"]), dep["columnName"]) for dep in each["columnDeps"]
        ]
        for each in lineage
    }
