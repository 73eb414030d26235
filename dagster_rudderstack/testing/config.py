"""The configuration file of a workspace.

A connection names a source and a destination of the file, or leaves them out and gets new ones. The
entries have the fields of Source, Destination, Connection, Project and Fault:

    {
      "sources": [{"id": "warehouse", "definition": "snowflake"}],
      "destinations": [{"id": "hubspot", "type": "HUBSPOT"}],
      "connections": [
        {
          "id": "crm",
          "source_id": "warehouse",
          "destination_id": "hubspot",
          "script": {"duration_seconds": 5},
          "table": {
            "warehouse": "warehouse.duckdb",
            "table": "analytics.customers",
            "primary_key": "customer_id",
            "destination": "crm.duckdb",
            "destination_table": "contacts",
            "required": ["email"]
          }
        }
      ],
      "projects": [
        {
          "id": "profiles",
          "script": {"duration_seconds": 60},
          "build": {
            "warehouse": "warehouse.duckdb",
            "models": {"models/users": "CREATE OR REPLACE TABLE users AS SELECT * FROM customers"}
          }
        }
      ],
      "faults": [{"kind": "status", "status": 503, "every": 5}]
    }
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dagster_rudderstack.testing.dataclass_json import ConfigError, build, require
from dagster_rudderstack.testing.faults import Fault
from dagster_rudderstack.testing.objects import Connection, Destination, Project, Source

_SNAPSHOT_KEYS = frozenset({"fetched_at", "version"})
"""What the snapshot of a workspace has, which `dagster-rudderstack snapshot` writes."""


@dataclass(frozen=True)
class WorkspaceConfig:
    """The content of a configuration file.

    Attributes:
        sources: The Reverse ETL sources.
        destinations: The destinations.
        connections: The connections. The ends that are not listed above are added.
        projects: The Profiles projects and ETL sources.
        faults: The rules that break requests.
    """

    sources: Sequence[Source] = ()
    destinations: Sequence[Destination] = ()
    connections: Sequence[Connection] = ()
    projects: Sequence[Project] = ()
    faults: Sequence[Fault] = ()


def read_config(path: Path) -> WorkspaceConfig:
    """Read a configuration file. Relative paths in it are relative to its folder.

    Args:
        path: The file.

    Raises:
        ConfigError: If it cannot be read. The message names the file and the place of the error.
    """
    content = _read_json(path)
    if isinstance(content, dict) and content.keys() >= _SNAPSHOT_KEYS:
        raise ConfigError(
            f"{path} is a snapshot of a workspace, not a configuration of the local RudderStack"
        )
    try:
        return _config_of(content, path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _config_of(content: Any, folder: Path) -> WorkspaceConfig:
    config = build(WorkspaceConfig, content, "")
    _check_unique("connections", [each.id for each in config.connections])
    _check_unique("sources", [each.id for each in config.sources])
    _check_unique("destinations", [each.id for each in config.destinations])
    _check_unique("projects", [each.id for each in config.projects])
    _check_known("source", config.sources, [each.source_id for each in config.connections])
    known = config.destinations
    _check_known("destination", known, [each.destination_id for each in config.connections])
    connections = [_connection_in(folder, each) for each in config.connections]
    projects = [_project_in(folder, each) for each in config.projects]
    return replace(config, connections=connections, projects=projects)


def _read_json(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text, object_pairs_hook=_object_of)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except _DuplicateKeyError as error:
        raise ConfigError(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error


class _DuplicateKeyError(ValueError):
    """An object has two values for a key. JSON readers keep the last one."""


def _object_of(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _DuplicateKeyError(f"an object has the key {key!r} twice")
        found[key] = value
    return found


def _check_unique(where: str, ids: Sequence[str]) -> None:
    for index, each in enumerate(ids):
        require(each not in ids[:index], f"{where}[{index}].id", f"{each!r} was used before")


def _check_known(
    noun: str, known: Sequence[Source | Destination], ids: Sequence[str | None]
) -> None:
    """Check that the connections of the file name only what the file has, or nothing."""
    names = [each.id for each in known]
    listed = ", ".join(map(repr, names)) or f"no {noun}"
    for index, each in enumerate(ids):
        where = f"connections[{index}].{noun}_id"
        require(each in [None, *names], where, f"{each!r} is unknown: the file has {listed}")


def _connection_in(folder: Path, connection: Connection) -> Connection:
    if connection.table is None:
        return connection
    return replace(connection, table=connection.table.in_folder(folder))


def _project_in(folder: Path, project: Project) -> Project:
    if project.build is None:
        return project
    return replace(project, build=project.build.in_folder(folder))
