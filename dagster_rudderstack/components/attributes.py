"""The attributes of components in YAML, and how they become arguments of the factories."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, get_args

import dagster as dg
from dagster import get_dagster_logger
from pydantic import BaseModel, ConfigDict, Field

from dagster_rudderstack.api.validation import checked_choice, checked_seconds
from dagster_rudderstack.assets.syncs import RudderStackSyncs
from dagster_rudderstack.checks.base import SyncCheck
from dagster_rudderstack.checks.sync_checks import CHECKS, SyncChecks
from dagster_rudderstack.components.described import described
from dagster_rudderstack.components.hidden_values import without_source_lines, without_values
from dagster_rudderstack.components.models import (
    Number,
    WholeNumber,
    given_fields,
    is_required,
    resolve_as,
    resolver_of,
    yaml_model,
    yaml_model_of,
)
from dagster_rudderstack.components.policies import (
    FreshnessAttribute,
    PartitionsAttribute,
    RetryAttribute,
    with_freshness,
)
from dagster_rudderstack.discovery.props import RudderStackConnectionProps
from dagster_rudderstack.discovery.selector import RudderStackConnectionSelector
from dagster_rudderstack.errors import DiscoveryError, InvalidSettingError
from dagster_rudderstack.options import AssetOptions, description_of
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.sensor.sensor import FailedSyncs, build_rudderstack_polling_sensor
from dagster_rudderstack.settings import (
    DEFAULT_SYNC_TYPE,
    OnDisabled,
    OnRunningSync,
    SyncType,
)
from dagster_rudderstack.text import examples_of
from dagster_rudderstack.vendor_names import RENAMED_SETTINGS

__all__ = ["PollingSensorAttributes", "SelectorAttribute", "SyncAttributes", "WorkspaceAttribute"]

_LOG = get_dagster_logger("rudderstack")


Region = Literal["us", "eu"]


def _model_of_checks() -> type[BaseModel]:
    return yaml_model(
        "SyncChecksModel",
        {
            name: (_model_of_check(kind) | None, None, (kind.__doc__ or "").partition("\n")[0])
            for name, kind in CHECKS.items()
        },
    )


def _model_of_check(kind: type[SyncCheck]) -> Any:
    """Return the type of a check: an object, or true and false if nothing in it is required."""
    model = yaml_model_of(f"{kind.__name__}Model", kind)
    return model if any(map(is_required, dataclasses.fields(kind))) else model | bool


def _model_of_resource() -> type[BaseModel]:
    fields = RudderStackResource.model_fields
    # For the resource, the region is a text, since an EnvVar may hold it.
    kinds = {name: field.annotation for name, field in fields.items()} | {"region": Region | None}
    model = yaml_model(
        "RudderStackWorkspaceSettings",
        {
            name: (kinds[name], ... if field.is_required() else None, field.description)
            for name, field in fields.items()
        },
    )
    model.renamed = RENAMED_SETTINGS
    return model


_ENV = re.compile(
    r"""\{\{-?\s*env(?:\.(?P<name>\w+)|\(\s*(?P<quote>['"])(?P<called>\w+)(?P=quote)\s*\))\s*-?\}\}"""
)
"""A template that is only a variable: `{{ env.X }}` or `{{ env('X') }}`."""
_READS_ENV = re.compile(r"\{[{%].*\benv\b", re.DOTALL)


def _resource_value(context: dg.ResolutionContext, name: str, value: Any) -> Any:
    """Return a setting of the resource. Where possible, `{{ env.X }}` becomes an EnvVar.

    Dagster stores the arguments of a resource, and an EnvVar stores only the variable's name.
    """
    field = RudderStackResource.model_fields[name]
    if isinstance(value, Mapping):
        return {key: _text_value(context, name, each) for key, each in value.items()}
    if field.annotation is str or str in get_args(field.annotation):
        return _text_value(context, name, value)
    variable = _variable(value)
    if variable and field.annotation is int:
        return dg.EnvVar.int(variable)
    return context.resolve_value(value)


def _variable(value: object) -> str | None:
    """Return the name of the variable, if a template is only a variable."""
    found = _ENV.fullmatch(value.strip()) if isinstance(value, str) else None
    return (found["name"] or found["called"]) if found else None


def _text_value(context: dg.ResolutionContext, name: str, value: Any) -> Any:
    if variable := _variable(value):
        return dg.EnvVar(variable)
    is_secret = not RudderStackResource.model_fields[name].repr
    if is_secret and isinstance(value, str) and _READS_ENV.search(value):
        raise InvalidSettingError(
            f"{name} reads an environment variable in a template with other content. Dagster would "
            "resolve it while definitions load, and store the secret. Write only {{ env.NAME }}, "
            "and put the whole value in that variable."
        )
    return context.resolve_value(value)


def _resolve_workspace(context: dg.ResolutionContext, given: Any) -> RudderStackResource:
    with without_source_lines("workspace", context) as quiet:
        return _workspace(quiet, given)


def _workspace(context: dg.ResolutionContext, given: Any) -> RudderStackResource:
    if isinstance(given, str):
        resource = context.resolve_value(given)
        if not isinstance(resource, RudderStackResource):
            raise DiscoveryError(
                f"workspace is {type(resource).__name__}, not a RudderStackResource."
            )
        return resource
    settings = {
        name: _resource_value(context, name, value) for name, value in given_fields(given).items()
    }
    return RudderStackResource(**settings)


def _resolve_checks(context: dg.ResolutionContext, given: Any) -> Any:
    if not isinstance(given, BaseModel):
        return context.resolve_value(given)
    return SyncChecks(
        **{
            name: _resolve_check(CHECKS[name], context, value)
            for name, value in given_fields(given).items()
        }
    )


def _resolve_check(
    kind: Callable[..., SyncCheck], context: dg.ResolutionContext, given: Any
) -> Any:
    """Resolve a check: its settings, a template, true for the defaults, or false for none."""
    if isinstance(given, bool):
        return kind() if given else None
    return resolve_as(kind, context, given)


WorkspaceAttribute = Annotated[
    RudderStackResource,
    dg.Resolver(
        _resolve_workspace,
        model_field_type=_model_of_resource() | str,
        description="The workspace: the settings of a RudderStackResource.",
    ),
]
SelectorAttribute = Annotated[
    RudderStackConnectionSelector | Callable[[RudderStackConnectionProps], bool] | None,
    resolver_of(
        RudderStackConnectionSelector,
        yaml_model_of(
            "RudderStackConnectionSelectorModel", RudderStackConnectionSelector, without="predicate"
        )
        | str,
        "Which connections become assets. A template may be a function of the connection.",
    ),
]
ChecksAttribute = Annotated[
    SyncChecks | None,
    dg.Resolver(
        _resolve_checks,
        model_field_type=_model_of_checks() | str | None,
        description=description_of("checks"),
    ),
]


@dataclasses.dataclass(frozen=True)
class PollingSensorAttributes:
    """The arguments of `build_rudderstack_polling_sensor` in YAML.

    Attributes:
        name: Name of the sensor. The default is the resource's key and `_polling_sensor`.
        minimum_interval_seconds: Seconds between two ticks of the sensor.
        default_status: Whether it is on, `RUNNING`, before a person turns it on or off.
        failed_syncs: What a failed sync becomes besides an observation: `run`, a run that fails, or
            `check`, only the failed check `sync_succeeded`.
        replay: How many of the syncs that ended before the first poll are reported, for each
            connection.

    Raises:
        InvalidSettingError: If a value is invalid. The message names it.
    """

    name: str | None = None
    minimum_interval_seconds: int = 60
    default_status: Literal["RUNNING", "STOPPED"] = "STOPPED"
    failed_syncs: FailedSyncs = "run"
    replay: int = 0

    def __post_init__(self) -> None:
        checked_choice(self.default_status, Literal["RUNNING", "STOPPED"], "default_status")
        checked_choice(self.failed_syncs, FailedSyncs, "failed_syncs")
        checked_seconds(self.minimum_interval_seconds, "minimum_interval_seconds")


SensorAttribute = Annotated[
    PollingSensorAttributes | bool | None,
    resolver_of(
        PollingSensorAttributes,
        yaml_model_of("PollingSensorModel", PollingSensorAttributes) | bool | str | None,
        "A sensor that reports the syncs that no step waits for. false: another sensor does.",
    ),
]


class SyncAttributes(dg.Resolvable, dg.Model):
    """The attributes of both components: how their connections are synced."""

    # For Dagster's partitions, which are no class of pydantic.
    model_config = ConfigDict(arbitrary_types_allowed=True)

    sync_type: SyncType = Field(default=DEFAULT_SYNC_TYPE, description=description_of("sync_type"))
    on_running_sync: OnRunningSync | None = Field(
        default=None, description=description_of("on_running_sync")
    )
    on_disabled: OnDisabled = Field(default="fail", description=description_of("on_disabled"))
    timeout_seconds: WholeNumber | None = Field(
        default=None, description=description_of("timeout_seconds")
    )
    poll_interval_seconds: Number | None = Field(
        default=None, description=description_of("poll_interval_seconds")
    )
    checks: ChecksAttribute = SyncChecks()
    wait: bool = Field(default=True, description=description_of("wait"))
    retry_policy: RetryAttribute = None
    pool: str | None = Field(default=None, description=description_of("pool"))
    op_tags: dict[str, Any] | None = Field(default=None, description=description_of("op_tags"))
    partitions_def: PartitionsAttribute = None
    freshness_policy: FreshnessAttribute = None
    polling_sensor: SensorAttribute = None

    @classmethod
    def model(cls) -> type[BaseModel]:
        """Return the described model of the YAML. Its errors show no secret of the workspace."""
        return without_values(described(cls, super().model()))

    def execute(
        self,
        context: dg.AssetExecutionContext,  # noqa: ARG002 - for subclasses
        rudderstack: RudderStackResource,  # noqa: ARG002 - for subclasses
        sync: RudderStackSyncs,
    ) -> Iterable[Any]:
        """Run the syncs of a step and yield their results. Override it to do more.

        It may take the parameters of a function for `rudderstack_assets`, such as further
        resources.

        Args:
            context: Dagster's context.
            rudderstack: The resource.
            sync: Runs the syncs and returns their results.
        """
        yield from sync()

    def sync_settings(self, resource_key: str) -> AssetOptions:
        """Return the options for the factories."""
        return {
            "sync_type": self.sync_type,
            "on_running_sync": self.on_running_sync,
            "on_disabled": self.on_disabled,
            "timeout_seconds": self.timeout_seconds,
            "poll_interval_seconds": self.poll_interval_seconds,
            "partitions_def": self.partitions_def,
            "checks": self.checks,
            "wait": self.wait,
            "retry_policy": self.retry_policy,
            "pool": self.pool,
            "op_tags": self.op_tags,
            "resource_key": resource_key,
            "execute": self.execute,
        }

    def with_freshness(self, spec: dg.AssetSpec) -> dg.AssetSpec:
        """Return an asset with the freshness policy of the component, if it has none."""
        return with_freshness(spec, self.freshness_policy)

    def sensors(
        self, assets: Sequence[dg.AssetsDefinition], resource_key: str
    ) -> list[dg.SensorDefinition]:
        """Return the polling sensor, if it is asked for and there are assets.

        Warn once if syncs are deferred and nothing is said about a sensor.
        """
        chosen = self.polling_sensor
        if chosen is None and assets and not self.wait:
            keys = [key.to_user_string() for each in assets for key in each.keys]
            _warn_once(
                f"With wait: false, the steps of {examples_of(keys, 'asset')} only start the "
                "syncs, and the component has no sensor that reports how they end. Add to its "
                "attributes: polling_sensor: true. If another sensor reports them: "
                "polling_sensor: false."
            )
        if not chosen or not assets:
            return []
        settings = PollingSensorAttributes() if chosen is True else chosen
        return [
            build_rudderstack_polling_sensor(
                assets=assets,
                name=settings.name or f"{resource_key}_polling_sensor",
                resource_key=resource_key,
                minimum_interval_seconds=settings.minimum_interval_seconds,
                default_status=settings.default_status,
                failed_syncs=settings.failed_syncs,
                replay=settings.replay,
            )
        ]


# The commands of `dg` build the definitions twice in a process.
@cache
def _warn_once(text: str) -> None:
    _LOG.warning(text)
