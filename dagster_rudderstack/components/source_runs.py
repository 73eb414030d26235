"""The components of a Profiles project and of an ETL source."""

import warnings
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import dagster as dg
from dagster.components import ResolvedAssetKey, ResolvedAssetSpec
from pydantic import BaseModel, ConfigDict, Field

from dagster_rudderstack.components.described import described
from dagster_rudderstack.components.hidden_values import without_values
from dagster_rudderstack.components.models import Number, WholeNumber
from dagster_rudderstack.components.one_workspace import WorkspaceAttributes
from dagster_rudderstack.components.policies import (
    FreshnessAttribute,
    PartitionsAttribute,
    RetryAttribute,
    with_freshness,
)
from dagster_rudderstack.components.scaffold import SourceScaffolder
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.settings import OnLostStart, OnRunningRun
from dagster_rudderstack.source_runs.assets import (
    build_rudderstack_profiles_asset,
    build_rudderstack_source_asset,
)
from dagster_rudderstack.source_runs.options import SourceAssetOptions, description_of
from dagster_rudderstack.text import identifier, shown

__all__ = ["RudderStackProfilesComponent", "RudderStackSourceComponent"]


def _resolve_time(option: str, context: dg.ResolutionContext, given: Any) -> Any:
    value = context.resolve_value(given) if isinstance(given, str) else given
    if value is not None and not isinstance(value, datetime | str):
        raise InvalidSettingError(
            f"{option} {shown(value)}: expected a time in quotes, as in '2026-01-31T00:00:00Z'."
        )
    return value


_STRICT_TIME: Any = Annotated[datetime, Field(strict=True)]
_TIME: Any = _STRICT_TIME | int | str | None
"""A time, or a number, which the resolver refuses."""


def _time_attribute(option: str) -> dg.Resolver:
    # YAML itself reads a time without quotes. A number would become seconds since 1970.
    return dg.Resolver(
        partial(_resolve_time, option),
        model_field_type=_TIME,
        description=description_of(option),
    )


class _SourceAttributes(WorkspaceAttributes):
    """The attributes of both components."""

    # For Dagster's partitions, which are no class of pydantic. Older versions of pydantic warn of a
    # field whose name begins with `model_`.
    model_config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())

    source_id: str = Field(description="The project or source, from the RudderStack dashboard.")
    assets: list[ResolvedAssetSpec] | None = Field(
        default=None,
        description=(
            "The assets that one run builds. The default is one with the key "
            "rudderstack/<source_id>."
        ),
    )
    deps: list[ResolvedAssetKey] = Field(
        default=[],
        description="Upstream assets of each of them, in addition to those of its own.",
    )
    on_running_run: OnRunningRun | None = Field(
        default=None, description=description_of("on_running_run")
    )
    on_lost_start: OnLostStart | None = Field(
        default=None, description=description_of("on_lost_start")
    )
    timeout_seconds: WholeNumber | None = Field(
        default=None, description=description_of("timeout_seconds")
    )
    poll_interval_seconds: Number | None = Field(
        default=None, description=description_of("poll_interval_seconds")
    )
    retry_policy: RetryAttribute = None
    pool: str | None = Field(default=None, description=description_of("pool"))
    op_tags: dict[str, Any] | None = Field(default=None, description=description_of("op_tags"))
    freshness_policy: FreshnessAttribute = None

    @classmethod
    def model(cls) -> type[BaseModel]:
        """Return the described model of the YAML. Its errors show no secret of the workspace."""
        with warnings.catch_warnings():
            # Dagster makes the model without our settings.
            warnings.filterwarnings("ignore", message='Field "model_')
            return without_values(described(cls, super().model()))

    def get_asset_specs(self) -> list[dg.AssetSpec]:
        """Return the assets that one run builds."""
        if self.assets is None:
            return [dg.AssetSpec(["rudderstack", identifier(self.source_id)])]
        return self.assets

    def build_assets(self, specs: list[dg.AssetSpec], resource_key: str) -> dg.AssetsDefinition:
        """Return the step."""
        raise NotImplementedError

    def run_settings(self, resource_key: str) -> SourceAssetOptions:
        """Return the options for the factories."""
        return {
            "on_running_run": self.on_running_run,
            "on_lost_start": self.on_lost_start,
            "timeout_seconds": self.timeout_seconds,
            "poll_interval_seconds": self.poll_interval_seconds,
            "retry_policy": self.retry_policy,
            "pool": self.pool,
            "op_tags": self.op_tags,
            "resource_key": resource_key,
        }

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the definitions. No request is sent."""
        key = self.resource_key_in(context)
        specs = [with_freshness(spec, self.freshness_policy) for spec in self.get_asset_specs()]
        return dg.Definitions(
            assets=[self.build_assets(specs, key)],
            resources=self.resources_at(key),
        )


@dg.scaffold_with(SourceScaffolder)
class RudderStackProfilesComponent(_SourceAttributes, dg.Component):
    """The assets of a Profiles project.

        type: dagster_rudderstack.RudderStackProfilesComponent
        attributes:
          source_id: 2hkfQ1bVxSgBbBmZCWGbnQmOs0D
          workspace:
            access_token: "{{ env.RUDDERSTACK_ACCESS_TOKEN }}"
          assets:
            - key: user_features
              deps:
                - customers
                - orders

    Override `get_asset_specs` in a subclass.
    """

    model_refs: list[str] = Field(default=[], description=description_of("model_refs"))
    begin_time: Annotated[datetime | str | None, _time_attribute("begin_time")] = None
    end_time: Annotated[datetime | str | None, _time_attribute("end_time")] = None
    rebase_incremental: bool = Field(
        default=False, description=description_of("rebase_incremental")
    )
    partitions_def: PartitionsAttribute = None

    def build_assets(self, specs: list[dg.AssetSpec], resource_key: str) -> dg.AssetsDefinition:
        """Return the step that runs the project."""
        return build_rudderstack_profiles_asset(
            source_id=self.source_id,
            specs=specs,
            deps=self.deps,
            model_refs=self.model_refs,
            begin_time=self.begin_time,
            end_time=self.end_time,
            rebase_incremental=self.rebase_incremental,
            partitions_def=self.partitions_def,
            **self.run_settings(resource_key),
        )


@dg.scaffold_with(SourceScaffolder)
class RudderStackSourceComponent(_SourceAttributes, dg.Component):
    """The assets of an ETL (cloud extract) source.

        type: dagster_rudderstack.RudderStackSourceComponent
        attributes:
          source_id: 2hkfPqGZK0mYwUyXUSwHkqwMZ3g
          workspace:
            access_token: "{{ env.RUDDERSTACK_ACCESS_TOKEN }}"
          assets:
            - key: stripe/customers
            - key: stripe/charges

    Override `get_asset_specs` in a subclass.
    """

    def build_assets(self, specs: list[dg.AssetSpec], resource_key: str) -> dg.AssetsDefinition:
        """Return the step that runs the source."""
        return build_rudderstack_source_asset(
            source_id=self.source_id,
            specs=specs,
            deps=self.deps,
            **self.run_settings(resource_key),
        )
