"""The component of one connection."""

import dagster as dg
from dagster.components import ResolvedAssetSpec
from pydantic import Field

from dagster_rudderstack.assets.factories import build_rudderstack_sync_asset
from dagster_rudderstack.components.attributes import SyncAttributes
from dagster_rudderstack.components.one_workspace import WorkspaceAttributes
from dagster_rudderstack.components.scaffold import ConnectionScaffolder
from dagster_rudderstack.text import identifier

__all__ = ["RudderStackConnectionComponent"]


@dg.scaffold_with(ConnectionScaffolder)
class RudderStackConnectionComponent(dg.Component, WorkspaceAttributes, SyncAttributes):
    """The asset of one connection.

        type: dagster_rudderstack.RudderStackConnectionComponent
        attributes:
          connection_id: 2hkeBOp0lGJpMPyur0oXUxxIDhw
          workspace:
            access_token: "{{ env.RUDDERSTACK_ACCESS_TOKEN }}"
          asset:
            key: crm_contacts
            deps:
              - customers

    Override `get_asset_spec` or `execute` in a subclass.
    """

    connection_id: str = Field(description="The connection, from the RudderStack dashboard.")
    asset: ResolvedAssetSpec | None = Field(
        default=None, description="The asset. The default key is rudderstack/<connection_id>."
    )

    def get_asset_spec(self) -> dg.AssetSpec:
        """Return the asset."""
        return self.asset or dg.AssetSpec(["rudderstack", identifier(self.connection_id)])

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the definitions. No request is sent."""
        key = self.resource_key_in(context)
        asset = build_rudderstack_sync_asset(
            connection_id=self.connection_id,
            spec=self.with_freshness(self.get_asset_spec()),
            **self.sync_settings(key),
        )
        return dg.Definitions(
            assets=[asset],
            resources=self.resources_at(key),
            sensors=self.sensors([asset], key),
        )
