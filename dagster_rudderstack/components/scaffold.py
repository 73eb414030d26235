"""The YAML that `dg scaffold defs` writes for a component."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from dagster.components import Scaffolder, ScaffoldRequest, scaffold_component
from pydantic import BaseModel, Field, model_validator

from dagster_rudderstack.text import identifier

__all__ = ["ConnectionScaffolder", "SourceScaffolder", "WorkspaceScaffolder"]

TOKEN_VARIABLE = "RUDDERSTACK_ACCESS_TOKEN"  # noqa: S105 - the name, not the token


class _ScaffoldParams(BaseModel):
    access_token_variable: str = Field(
        default=TOKEN_VARIABLE, description="Environment variable that holds the access token."
    )
    region: Literal["us", "eu"] | None = Field(default=None, description="Region; default: us.")


class WorkspaceScaffolder(Scaffolder[_ScaffoldParams]):
    """Scaffolds a workspace."""

    @classmethod
    def get_scaffold_params(cls) -> type[_ScaffoldParams]:
        """Return the parameters of the command."""
        return _ScaffoldParams

    def scaffold(self, request: ScaffoldRequest[_ScaffoldParams]) -> None:
        """Write the YAML."""
        scaffold_component(request, {"workspace": _scaffolded_workspace(request.params)})


class _RequiringScaffoldParams(_ScaffoldParams):
    """Parameters of which one has no default. Dagster shows all of them as optional."""

    required: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _check_required(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given.get(cls.required) is None:
            option = f"--{cls.required.replace('_', '-')}"
            raise ValueError(f"The option {option} is missing.")
        return given


class _ConnectionScaffoldParams(_RequiringScaffoldParams):
    required = "connection_id"

    connection_id: str = Field(
        description="Required. The connection, from the RudderStack dashboard."
    )


class ConnectionScaffolder(Scaffolder[_ConnectionScaffoldParams]):
    """Scaffolds a connection."""

    @classmethod
    def get_scaffold_params(cls) -> type[_ConnectionScaffoldParams]:
        """Return the parameters of the command."""
        return _ConnectionScaffoldParams

    def scaffold(self, request: ScaffoldRequest[_ConnectionScaffoldParams]) -> None:
        """Write the YAML."""
        workspace = _scaffolded_workspace(request.params)
        connection_id = request.params.connection_id
        scaffold_component(request, {"connection_id": connection_id, "workspace": workspace})


class _SourceScaffoldParams(_RequiringScaffoldParams):
    required = "source_id"

    source_id: str = Field(
        description="Required. The project or source, from the RudderStack dashboard."
    )


class SourceScaffolder(Scaffolder[_SourceScaffoldParams]):
    """Scaffolds a Profiles project or an ETL source."""

    @classmethod
    def get_scaffold_params(cls) -> type[_SourceScaffoldParams]:
        """Return the parameters of the command."""
        return _SourceScaffoldParams

    def scaffold(self, request: ScaffoldRequest[_SourceScaffoldParams]) -> None:
        """Write the YAML."""
        workspace = _scaffolded_workspace(request.params)
        source_id = request.params.source_id
        # To be renamed, since RudderStack does not say what a run builds.
        assets = [{"key": f"rudderstack/{identifier(source_id)}"}]
        attributes = {"source_id": source_id, "workspace": workspace, "assets": assets}
        scaffold_component(request, attributes)


def _scaffolded_workspace(params: _ScaffoldParams) -> dict[str, str]:
    workspace = {"access_token": f"{{{{ env.{params.access_token_variable} }}}}"}
    return workspace if params.region is None else {**workspace, "region": params.region}
