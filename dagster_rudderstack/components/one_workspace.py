"""The attributes of a component that has a workspace of its own, or uses the project's resource."""

import dagster as dg
from pydantic import Field

from dagster_rudderstack.components.attributes import WorkspaceAttribute
from dagster_rudderstack.components.project import folder_name
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.settings import RESOURCE_KEY

__all__ = ["WorkspaceAttributes"]


class WorkspaceAttributes(dg.Resolvable, dg.Model):
    """Where the resource of a component comes from."""

    workspace: WorkspaceAttribute | None = Field(
        default=None,
        description="The workspace. The default is the project's resource at resource_key.",
    )
    resource_key: str | None = Field(
        default=None,
        description=(
            "Key of the resource. The default is rudderstack_ and the component's folder, or "
            "rudderstack if no workspace is given."
        ),
    )

    def resource_key_in(self, context: dg.ComponentLoadContext) -> str:
        """Return the key of the resource."""
        owned = f"{RESOURCE_KEY}_{folder_name(context)}" if self.workspace else RESOURCE_KEY
        return self.resource_key or owned

    def resources_at(self, key: str) -> dict[str, RudderStackResource]:
        """Return the resource, if the component has a workspace of its own."""
        return {key: self.workspace} if self.workspace else {}
