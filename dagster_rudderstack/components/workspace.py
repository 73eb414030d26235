"""The component of a workspace: an asset for each of its connections."""

from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal

import dagster as dg
from dagster import get_dagster_logger
from dagster.components import DefsStateConfig, DefsStateConfigArgs, ResolvedDefsStateConfig
from pydantic import Field

from dagster_rudderstack.components.attributes import (
    SelectorAttribute,
    SyncAttributes,
    WorkspaceAttribute,
)
from dagster_rudderstack.components.project import folder_name, upstream_assets_of
from dagster_rudderstack.components.scaffold import WorkspaceScaffolder
from dagster_rudderstack.dagster_internals import CheckError, TranslationFn, TranslationFnResolver
from dagster_rudderstack.discovery.disabled import DisabledConnections
from dagster_rudderstack.discovery.discover import discovery_from
from dagster_rudderstack.discovery.grouping import Grouping, assets_definitions
from dagster_rudderstack.discovery.props import RudderStackConnectionProps
from dagster_rudderstack.discovery.snapshot import WorkspaceSnapshot
from dagster_rudderstack.discovery.snapshot_file import (
    cause_text,
    read_snapshot,
    refresh_rudderstack_snapshot,
    refresh_while_loading,
    shown_cause,
)
from dagster_rudderstack.discovery.state import workspace_name
from dagster_rudderstack.discovery.translator import DagsterRudderStackTranslator, KeyBy
from dagster_rudderstack.errors import DiscoveryError
from dagster_rudderstack.settings import RESOURCE_KEY
from dagster_rudderstack.text import failure

__all__ = ["RudderStackWorkspaceComponent"]

_LOG = get_dagster_logger("rudderstack")

_is_loading: ContextVar[bool] = ContextVar("is_loading", default=False)
"""Whether definitions are loading, so that a refresh delays them."""

_IN_MEMORY = DefsStateConfigArgs.legacy_code_server_snapshots().management_type
"""State that is lost when its process ends, so there is no last state to fall back to."""


@dg.scaffold_with(WorkspaceScaffolder)
class RudderStackWorkspaceComponent(dg.StateBackedComponent, SyncAttributes):
    """An asset for each connection of a workspace, downstream of the tables that it reads.

        type: dagster_rudderstack.RudderStackWorkspaceComponent
        attributes:
          workspace:
            access_token: "{{ env.RUDDERSTACK_ACCESS_TOKEN }}"
          connection_selector:
            destinations:
              - HubSpot
          translation:
            group_name: activation

    The workspace is read when the state is refreshed (`dg utils refresh-defs-state`, and by
    `dg dev` and the other commands of `dg` unless `defs_state.refresh_if_dev` is false), not when
    definitions load. Override `get_asset_spec` or `execute` in a subclass. `get_asset_spec` may
    return None to leave a connection out.
    """

    workspace: WorkspaceAttribute
    connection_selector: SelectorAttribute = None
    translation: (
        Annotated[
            TranslationFn[RudderStackConnectionProps],
            TranslationFnResolver[RudderStackConnectionProps](lambda props: {"props": props}),
        ]
        | None
    ) = Field(
        default=None,
        description="Attributes of the assets. Templates can use `props` and `spec`.",
    )
    key_by: KeyBy = Field(
        default="name",
        description="'name' makes readable keys, 'id' makes keys that survive renames.",
    )
    disabled: DisabledConnections = Field(
        default="leave_out",
        description="What to do with disabled connections: 'leave_out' or 'mark'.",
    )
    grouping: Grouping = Field(
        default="connection",
        description="Which connections share a step: 'connection', 'source', 'destination', 'all'.",
    )
    upstream_from: Literal["project"] | list[str] = Field(
        default="project",
        description=(
            "Where to look for the upstream tables: 'project' means all other definitions of the "
            "project, a list names folders or files below defs."
        ),
    )
    upstream_keys: Annotated[
        dict[str, Any],
        dg.Resolver(
            lambda context, given: context.resolve_value(given),
            model_field_type=dict[str, str | None],
            description=(
                "The asset of a table, by the name of the table. null leaves a table out. A "
                "template may be a dg.AssetDep, to map partitions."
            ),
        ),
    ] = Field(default={})
    resource_key: str | None = Field(
        default=None,
        description="Key of the resource. The default is rudderstack_ and the component's folder.",
    )
    defs_state: ResolvedDefsStateConfig = DefsStateConfigArgs.local_filesystem()

    @property
    def defs_state_config(self) -> DefsStateConfig:
        """Where the snapshot is stored. Each workspace has its own key."""
        key = f"{type(self).__name__}[{workspace_name(self.workspace)}]"
        return DefsStateConfig.from_args(self.defs_state, default_key=key)

    # See the translator for `| Any`.
    def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec | Any:
        """Return the asset of a connection. `translation` is applied to the result.

        An override may return None: the connection becomes no asset.
        """
        return DagsterRudderStackTranslator(self.key_by).get_asset_spec(props)

    def write_state_to_path(self, state_path: Path) -> None:
        """Read the workspace and write its snapshot."""
        refresh = refresh_while_loading if _is_loading.get() else refresh_rudderstack_snapshot
        refresh(self.workspace, state_path)

    async def refresh_state(self, project_root: Path) -> str:
        """Read the workspace and store its snapshot. If that fails, the last state stays."""
        try:
            return await super().refresh_state(project_root)
        except Exception as error:
            is_stored = self.defs_state.management_type is not _IN_MEMORY
            if _is_loading.get() and is_stored:
                raise _RefreshFailedError(error) from error
            raise

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the definitions. If the state cannot be refreshed, the last state is used."""
        token = _is_loading.set(True)
        try:
            return super().build_defs(context)
        except _RefreshFailedError as failed:
            return self._build_defs_unrefreshed(context, failed.error)
        finally:
            _is_loading.reset(token)

    def _build_defs_unrefreshed(
        self, context: dg.ComponentLoadContext, error: Exception
    ) -> dg.Definitions:
        state = self.defs_state.model_copy(update={"refresh_if_dev": False})
        unrefreshed = self.model_copy(update={"defs_state": state})
        try:
            definitions = dg.StateBackedComponent.build_defs(unrefreshed, context)
        except DiscoveryError as missing:
            raise DiscoveryError(
                f"{missing} The refresh failed: {cause_text(error)}"
            ) from shown_cause(error)
        _LOG.warning(
            f"{cause_text(error)} The state was not refreshed. The assets are those of the last "
            "refresh."
        )
        return definitions

    def build_defs_from_state(
        self, context: dg.ComponentLoadContext, state_path: Path | None
    ) -> dg.Definitions:
        """Return the definitions of a snapshot. No request is sent."""
        snapshot = self._snapshot(state_path)
        key = self.resource_key or f"{RESOURCE_KEY}_{folder_name(context)}"
        discovery = discovery_from(
            self.workspace,
            _ComponentTranslator(self),
            self.connection_selector,
            disabled=self.disabled,
            upstream_assets=upstream_assets_of(context, self.upstream_from),
            upstream_keys=self.upstream_keys,
        )
        discovered = discovery.assets(snapshot, self.partitions_def)
        assets = assets_definitions(discovered, self.grouping, key, **self.sync_settings(key))
        return dg.Definitions(
            assets=assets,
            resources={key: self.workspace},
            sensors=self.sensors(assets, key),
        )

    def _snapshot(self, state_path: Path | None) -> WorkspaceSnapshot:
        refresh = "Refresh it when RudderStack can be reached: dg utils refresh-defs-state."
        name = workspace_name(self.workspace)
        if state_path is None:
            raise DiscoveryError(
                f"There is no state of the RudderStack workspace {name}. {refresh}"
            )
        try:
            return read_snapshot(state_path)
        except DiscoveryError as error:
            key = self.defs_state_config.key
            raise DiscoveryError(f"The state {key!r} is unusable. {error} {refresh}") from None


class _RefreshFailedError(Exception):
    """The state could not be refreshed while definitions load."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class _ComponentTranslator(DagsterRudderStackTranslator):
    """Applies the component's `get_asset_spec` and its `translation`."""

    def __init__(self, component: RudderStackWorkspaceComponent) -> None:
        super().__init__(component.key_by)
        self._component = component

    def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec | None:
        spec: dg.AssetSpec | None = self._component.get_asset_spec(props)
        translation = self._component.translation
        if translation is None or spec is None:
            return spec and self._component.with_freshness(spec)
        try:
            return self._component.with_freshness(translation(spec, props))
        except CheckError as error:
            raise DiscoveryError(
                f"translation: {failure(error)} It takes attributes of the asset, or a template of "
                "them or of an AssetSpec. To leave a connection out, use connection_selector."
            ) from error
