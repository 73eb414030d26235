"""The guides in `docs/guides`, whose files run against the local RudderStack."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from dagster_rudderstack import MetadataKey
from dagster_rudderstack.testing import LocalRudderStack

GUIDES = Path(__file__).parents[2] / "docs" / "guides"

CONTACTS, AUDIENCE = "2hkeBOp0lGJpMPyur0oXUxxIDhw", "2hkeC9cRJzSGkGZcUuMS5c8qTXm"

_RESOURCE = "RudderStackResource(access_token="


@dataclass(frozen=True)
class Guide:
    """A guide by the name of its file."""

    name: str

    @property
    def path(self) -> Path:
        """The file."""
        return GUIDES / f"{self.name}.md"

    @property
    def text(self) -> str:
        """The text of the page."""
        return self.path.read_text()

    def blocks(self, language: str = "python") -> list[str]:
        """Return the code blocks of a language."""
        return re.findall(rf"```{language}\n(.*?)```", self.text, re.DOTALL)

    def run(
        self, block: int = 0, server: LocalRudderStack | None = None, folder: Path = GUIDES
    ) -> dict[str, Any]:
        """Run one block as a file of its own, and return its names.

        Args:
            block: The number of the block.
            server: The local RudderStack that the resource uses. None leaves the resource as it is.
            folder: The folder of the file.
        """
        code = self.blocks()[block]
        if server is not None:
            assert _RESOURCE in code
            local = f"api_url={server.url!r}, poll_min_interval_seconds=0.05, access_token="
            code = code.replace(_RESOURCE, f"RudderStackResource({local}")
        names: dict[str, Any] = {"__name__": "page", "__file__": str(folder / "defs.py")}
        exec(compile(code, str(self.path), "exec"), names)  # noqa: S102 - our own page
        dg.Definitions.validate_loadable(names["defs"])
        return names


def materialize(
    defs: dg.Definitions, instance: dg.DagsterInstance, *assets: str, **options: Any
) -> dg.ExecuteInProcessResult:
    """Materialize some assets of definitions, or all, as Dagster's UI does."""
    job = defs.resolve_implicit_global_asset_job_def()
    selection = [dg.AssetKey.from_user_string(asset) for asset in assets] or None
    return job.execute_in_process(
        instance=instance, asset_selection=selection, raise_on_error=False, **options
    )


def sync_types(server: LocalRudderStack, connection_id: str = CONTACTS) -> list[str]:
    """Return the types of the syncs of a connection, oldest first."""
    return [sync.sync_type for sync in server.syncs(connection_id)]


def synced(result: dg.ExecuteInProcessResult) -> list[str]:
    """Return the assets that a run synced, in order."""
    return [
        event.materialization.asset_key.to_user_string()
        for event in result.get_asset_materialization_events()
        if MetadataKey.SYNC_ID in event.materialization.metadata
    ]


class Automation:
    """The automation condition of one asset, evaluated as Dagster's daemon does."""

    def __init__(
        self,
        defs: dg.Definitions,
        instance: dg.DagsterInstance,
        asset: str,
        time: datetime | None = None,
    ) -> None:
        self._defs = defs
        self._instance = instance
        self._key = dg.AssetKey.from_user_string(asset)
        self._cursor: Any = None
        self.requests(time)

    def requests(self, time: datetime | None = None) -> bool:
        """Whether a tick requests a run of the asset, after what has happened since the last.

        Args:
            time: The time of the tick. None is now.
        """
        result = dg.evaluate_automation_conditions(
            self._defs,
            self._instance,
            asset_selection=dg.AssetSelection.assets(self._key),
            evaluation_time=time,
            cursor=self._cursor,
        )
        self._cursor = result.cursor
        return result.get_num_requested(self._key) > 0
