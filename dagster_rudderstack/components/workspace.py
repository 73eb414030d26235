"""YAML components: they resolve attributes and call the factories, with no logic of their own."""

import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import dagster as dg
from dagster import get_dagster_logger
from dagster.components import (
    DefsFolderComponent,
    DefsStateConfig,
    DefsStateConfigArgs,
    ResolvedAssetSpec,
    ResolvedDefsStateConfig,
    Scaffolder,
    ScaffoldRequest,
    scaffold_component,
)

# Dagster exports no name for a component's `translation`; its own integrations import these.
from dagster.components.utils.translation import TranslationFn, TranslationFnResolver
from pydantic import BaseModel, Field, create_model

from dagster_rudderstack.assets import build_rudderstack_sync_asset
from dagster_rudderstack.checks import RejectedRowsCheck
from dagster_rudderstack.discovery.load import (
    IMPATIENT_RETRIES,
    DisabledConnections,
    Discovery,
    Grouping,
    SyncSettings,
    as_selector,
    assets_definitions,
    fetch_rudderstack_workspace,
    write_snapshot,
)
from dagster_rudderstack.discovery.selector import RudderStackConnectionSelector
from dagster_rudderstack.discovery.snapshot import WorkspaceSnapshot
from dagster_rudderstack.discovery.translator import (
    DagsterRudderStackTranslator,
    KeyBy,
    RudderStackConnectionProps,
)
from dagster_rudderstack.discovery.upstream import UpstreamAssets
from dagster_rudderstack.errors import DiscoveryError, InvalidSettingError, RudderStackError
from dagster_rudderstack.options import RESOURCE_KEY
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.sensor.sensor import FailedSyncs, build_rudderstack_polling_sensor
from dagster_rudderstack.settings import OnDisabled, OnRunningSync, SyncType
from dagster_rudderstack.validation import checked_choice, checked_seconds

__all__ = ["RudderStackConnectionComponent", "RudderStackWorkspaceComponent"]

TOKEN_VARIABLE = "RUDDERSTACK_ACCESS_TOKEN"  # noqa: S105 - the name, not the token

_LOG = get_dagster_logger("rudderstack")


# --- attributes in YAML: declared where they belong, and only spelled out here


def _model(name: str, fields: Mapping[str, tuple[Any, Any, str | None]]) -> type[BaseModel]:
    """Return the shape of an object in YAML: name -> type, default, description.

    Any value may be a template instead.
    """
    given: dict[str, Any] = {
        field: (kind | str, Field(default=default, description=description))
        for field, (kind, default, description) in fields.items()
    }
    return create_model(name, __base__=dg.Model, **given)


def _model_of_dataclass(name: str, kind: type[Any], *, without: str = "") -> type[BaseModel]:
    hints = get_type_hints(kind)
    fields = [each for each in dataclasses.fields(kind) if each.init and each.name != without]
    # A default is not shown twice: what is left out in YAML is left out of the call.
    return _model(name, {each.name: (hints[each.name] | None, None, None) for each in fields})


def _model_of_resource() -> type[BaseModel]:
    fields = RudderStackResource.model_fields
    return _model(
        "RudderStackWorkspaceSettings",
        {
            name: (field.annotation, ... if field.is_required() else None, field.description)
            for name, field in fields.items()
        },
    )


def _given(model: BaseModel) -> dict[str, Any]:
    return {name: getattr(model, name) for name in model.model_fields_set}


_ENV = re.compile(
    r"""\{\{-?\s*env(?:\.(?P<name>\w+)|\(\s*(?P<quote>['"])(?P<called>\w+)(?P=quote)\s*\))\s*-?\}\}"""
)
"""The two spellings of a variable in a template: `{{ env.X }}` and `{{ env('X') }}`."""
_READS_ENV = re.compile(r"\{[{%].*\benv\b", re.DOTALL)


def _resource_value(context: dg.ResolutionContext, name: str, value: Any) -> Any:
    """Return a setting of the resource; `{{ env.X }}` is read when it is used, where it can be.

    Dagster stores what a resource is given, so a token must stay the name of a variable.
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
    """Return the name of the variable that a template is, and nothing else."""
    found = _ENV.fullmatch(value.strip()) if isinstance(value, str) else None
    return (found["name"] or found["called"]) if found else None


def _text_value(context: dg.ResolutionContext, name: str, value: Any) -> Any:
    if variable := _variable(value):
        return dg.EnvVar(variable)
    is_secret = not RudderStackResource.model_fields[name].repr
    if is_secret and isinstance(value, str) and _READS_ENV.search(value):
        raise InvalidSettingError(
            f"{name} reads a variable in a template that would be filled in while definitions "
            "load, and Dagster would store the secret. Write {{ env.NAME }} and nothing else, and "
            "keep the whole value in that variable."
        )
    return context.resolve_value(value)


def _resolve_workspace(context: dg.ResolutionContext, given: Any) -> RudderStackResource:
    if isinstance(given, str):
        resource = context.resolve_value(given)
        if not isinstance(resource, RudderStackResource):
            raise DiscoveryError(f"workspace is {type(resource).__name__}, not a resource.")
        return resource
    settings = {
        name: _resource_value(context, name, value) for name, value in _given(given).items()
    }
    return RudderStackResource(**settings)


def _resolve_as(kind: Callable[..., Any], context: dg.ResolutionContext, given: Any) -> Any:
    """Resolve what is either a template of the thing itself or the arguments that make it."""
    if isinstance(given, BaseModel):
        return kind(**context.resolve_value(_given(given)))
    return context.resolve_value(given)


def _resolved(kind: Callable[..., Any], model: Any, description: str) -> dg.Resolver:
    return dg.Resolver(partial(_resolve_as, kind), model_field_type=model, description=description)


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
    _resolved(
        RudderStackConnectionSelector,
        _model_of_dataclass(
            "RudderStackConnectionSelectorModel", RudderStackConnectionSelector, without="predicate"
        )
        | str,
        "Which connections become assets; a template may be a function of the connection.",
    ),
]
CheckAttribute = Annotated[
    RejectedRowsCheck | None,
    _resolved(
        RejectedRowsCheck,
        _model_of_dataclass("RejectedRowsCheckModel", RejectedRowsCheck) | str | None,
        "The check on rejected rows; null: no check.",
    ),
]
Backoff = Literal["LINEAR", "EXPONENTIAL"]
Jitter = Literal["FULL", "PLUS_MINUS"]


def _retry_policy(
    backoff: Backoff | None = None, jitter: Jitter | None = None, **given: Any
) -> dg.RetryPolicy:
    if backoff is not None:
        checked_choice(backoff, Backoff, "backoff")
    if jitter is not None:
        checked_choice(jitter, Jitter, "jitter")
    return dg.RetryPolicy(
        **given,
        backoff=dg.Backoff[backoff] if backoff else None,
        jitter=dg.Jitter[jitter] if jitter else None,
    )


RetryAttribute = Annotated[
    dg.RetryPolicy | None,
    _resolved(
        _retry_policy,
        _model(
            "RetryPolicyModel",
            {
                "max_retries": (int, 1, None),
                "delay": (float, 0, "Seconds before a retry."),
                "backoff": (Backoff | None, None, "How the delay grows with each retry."),
                "jitter": (Jitter | None, None, "How much of the delay is random."),
            },
        )
        | str
        | None,
        "Retries of the step; one takes up a sync that still runs.",
    ),
]


@dataclasses.dataclass(frozen=True)
class PollingSensorAttributes:
    """What a person may choose of `build_rudderstack_polling_sensor`, which tells what it means.

    Raises:
        InvalidSettingError: naming the value that cannot be right.
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
    PollingSensorAttributes | bool,
    _resolved(
        PollingSensorAttributes,
        _model_of_dataclass("PollingSensorModel", PollingSensorAttributes) | bool | str,
        "Reports syncs that Dagster did not wait for.",
    ),
]


class _SyncAttributes(dg.Resolvable, dg.Model):
    """How both components sync, and where they have the resource."""

    sync_type: SyncType | None = Field(
        default=None, description="'incremental', 'full', or nothing: RudderStack decides."
    )
    on_running_sync: OnRunningSync | None = Field(
        default=None, description="Instead of the workspace's."
    )
    on_disabled: OnDisabled = Field(
        default="fail",
        description="When a connection is disabled in RudderStack: 'fail' or 'skip'.",
    )
    rejected_rows_check: CheckAttribute = RejectedRowsCheck()
    wait: bool = Field(
        default=True,
        description="false: steps start syncs, and the polling sensor reports how they end.",
    )
    retry_policy: RetryAttribute = None
    pool: str | None = Field(default=None, description="Concurrency pool of the steps.")
    op_tags: dict[str, Any] | None = Field(default=None, description="Tags of the steps.")
    polling_sensor: SensorAttribute = False

    def execute(
        self,
        context: dg.AssetExecutionContext,  # noqa: ARG002 - for those who override it
        rudderstack: RudderStackResource,  # noqa: ARG002 - for those who override it
        sync: Callable[[], Iterator[Any]],
    ) -> Iterable[Any]:
        """Do the syncs of a step and yield what Dagster is to know; override it to do more.

        Args:
            context: Dagster's.
            rudderstack: the resource.
            sync: does the syncs and yields their materializations and check results.
        """
        yield from sync()

    def sync_settings(self, resource_key: str) -> SyncSettings:
        """Return what the factories take."""
        return {
            "sync_type": self.sync_type,
            "on_running_sync": self.on_running_sync,
            "on_disabled": self.on_disabled,
            "rejected_rows_check": self.rejected_rows_check,
            "wait": self.wait,
            "retry_policy": self.retry_policy,
            "pool": self.pool,
            "op_tags": self.op_tags,
            "resource_key": resource_key,
            "execute": self.execute,
        }

    def sensors(
        self, assets: Sequence[dg.AssetsDefinition], resource_key: str
    ) -> list[dg.SensorDefinition]:
        """Return the polling sensor, if there is one and it has something to watch."""
        chosen = self.polling_sensor
        if chosen is False or not assets:
            return []
        settings = PollingSensorAttributes() if chosen is True else chosen
        return [
            build_rudderstack_polling_sensor(
                assets=assets,
                name=settings.name or f"{resource_key}_polling_sensor",
                resource_key=resource_key,
                minimum_interval_seconds=settings.minimum_interval_seconds,
                default_status=dg.DefaultSensorStatus[settings.default_status],
                failed_syncs=settings.failed_syncs,
                replay=settings.replay,
            )
        ]


# --- scaffolding


class _ScaffoldParams(BaseModel):
    access_token_variable: str = Field(
        default=TOKEN_VARIABLE, description="Environment variable that holds the access token."
    )
    region: Literal["us", "eu"] | None = Field(default=None, description="Region; default: us.")


class _WorkspaceScaffolder(Scaffolder[_ScaffoldParams]):
    @classmethod
    def get_scaffold_params(cls) -> type[_ScaffoldParams]:
        return _ScaffoldParams

    def scaffold(self, request: ScaffoldRequest[_ScaffoldParams]) -> None:
        scaffold_component(request, {"workspace": _scaffolded_workspace(request.params)})


class _ConnectionScaffoldParams(_ScaffoldParams):
    connection_id: str = Field(description="The connection, from the RudderStack dashboard.")


class _ConnectionScaffolder(Scaffolder[_ConnectionScaffoldParams]):
    @classmethod
    def get_scaffold_params(cls) -> type[_ConnectionScaffoldParams]:
        return _ConnectionScaffoldParams

    def scaffold(self, request: ScaffoldRequest[_ConnectionScaffoldParams]) -> None:
        workspace = _scaffolded_workspace(request.params)
        connection_id = request.params.connection_id
        scaffold_component(request, {"connection_id": connection_id, "workspace": workspace})


def _scaffolded_workspace(params: _ScaffoldParams) -> dict[str, str]:
    workspace = {"access_token": f"{{{{ env.{params.access_token_variable} }}}}"}
    return workspace if params.region is None else {**workspace, "region": params.region}


# --- a workspace


@dg.scaffold_with(_WorkspaceScaffolder)
class RudderStackWorkspaceComponent(dg.StateBackedComponent, _SyncAttributes):
    """An asset for each connection of a workspace, downstream of the tables that it reads.

        type: dagster_rudderstack.RudderStackWorkspaceComponent
        attributes:
          workspace:
            access_token: "{{ env.RUDDERSTACK_ACCESS_TOKEN }}"
          connection_selector:
            destinations: [HubSpot]
          translation:
            group_name: activation

    The workspace is read when the state is refreshed (`dg utils refresh-defs-state`, and by
    `dg dev` and the other commands of `dg` unless `defs_state.refresh_if_dev` is false), not when
    definitions load. Override `get_asset_spec` or `execute` in a subclass.
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
        description="Attributes of the assets; templates know `props` and `spec`.",
    )
    key_by: KeyBy = Field(
        default="name",
        description="'name': keys that people can read; 'id': keys that outlive renamings.",
    )
    disabled: DisabledConnections = Field(
        default="leave_out",
        description="Connections that are disabled in RudderStack: 'leave_out' or 'mark'.",
    )
    grouping: Grouping = Field(
        default="connection",
        description="Connections that share a step: 'connection', 'source', 'destination', 'all'.",
    )
    upstream_from: Literal["project"] | list[str] = Field(
        default="project",
        description=(
            "Where the tables are looked for: 'project' is all other definitions of the project, a "
            "list names folders or files below defs."
        ),
    )
    upstream_keys: dict[str, str | None] = Field(
        default={},
        description="Tables and the assets that they are; null leaves a table out.",
    )
    resource_key: str | None = Field(
        default=None,
        description="Key of the resource; default: rudderstack_ and the component's folder.",
    )
    defs_state: ResolvedDefsStateConfig = DefsStateConfigArgs.local_filesystem()

    @property
    def defs_state_config(self) -> DefsStateConfig:
        """Where the snapshot is kept: one for each workspace."""
        key = f"{type(self).__name__}[{_workspace_name(self.workspace)}]"
        return DefsStateConfig.from_args(self.defs_state, default_key=key)

    def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec:
        """Return the asset of a connection; `translation` is applied to what it returns."""
        return DagsterRudderStackTranslator(self.key_by).get_asset_spec(props)

    # --- state

    def write_state_to_path(self, state_path: Path) -> None:
        """Read the workspace and write its snapshot."""
        patience = IMPATIENT_RETRIES if _loading.get() else None
        snapshot = fetch_rudderstack_workspace(self.workspace, max_retries=patience)
        write_snapshot(snapshot, state_path)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the definitions; those of the last state, if it cannot be refreshed now."""
        token = _loading.set(True)
        try:
            return super().build_defs(context)
        except DiscoveryError:
            raise
        except RudderStackError as error:
            return self._build_defs_unrefreshed(context, error)
        finally:
            _loading.reset(token)

    def _build_defs_unrefreshed(
        self, context: dg.ComponentLoadContext, error: RudderStackError
    ) -> dg.Definitions:
        state = self.defs_state.model_copy(update={"refresh_if_dev": False})
        unrefreshed = self.model_copy(update={"defs_state": state})
        try:
            definitions = dg.StateBackedComponent.build_defs(unrefreshed, context)
        except DiscoveryError as missing:
            raise DiscoveryError(f"{missing} It cannot be refreshed now: {error}") from error
        _LOG.warning(f"{error} The assets are those of the last refresh.")
        return definitions

    def build_defs_from_state(
        self, context: dg.ComponentLoadContext, state_path: Path | None
    ) -> dg.Definitions:
        """Return the definitions of a snapshot; makes no request."""
        snapshot = self._snapshot(state_path)
        key = self.resource_key or f"{RESOURCE_KEY}_{_folder_name(context)}"
        discovered = self._discovery(context).assets(snapshot)
        assets = assets_definitions(discovered, self.grouping, key, **self.sync_settings(key))
        return dg.Definitions(
            assets=assets,
            resources={key: self.workspace},
            sensors=self.sensors(assets, key),
        )

    def _snapshot(self, state_path: Path | None) -> WorkspaceSnapshot:
        refresh = "Refresh it while RudderStack is in reach: dg utils refresh-defs-state."
        name = _workspace_name(self.workspace)
        if state_path is None:
            raise DiscoveryError(
                f"There is no state of the RudderStack workspace {name}. {refresh}"
            )
        try:
            return WorkspaceSnapshot.loads(state_path.read_text(encoding="utf-8"))
        except DiscoveryError as error:
            raise DiscoveryError(f"{error} {refresh}") from error

    def _discovery(self, context: dg.ComponentLoadContext) -> Discovery:
        return Discovery(
            translator=_ComponentTranslator(self),
            selector=as_selector(self.connection_selector),
            disabled=self.disabled,
            upstream_assets=_upstream_assets(context, self.upstream_from),
            upstream_keys=self.upstream_keys,
            link_template=self.workspace.dashboard_url,
        )


class _ComponentTranslator(DagsterRudderStackTranslator):
    """What a component's class and its YAML make of a connection."""

    def __init__(self, component: RudderStackWorkspaceComponent) -> None:
        super().__init__(component.key_by)
        self._component = component

    def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec:
        spec = self._component.get_asset_spec(props)
        translation = self._component.translation
        return translation(spec, props) if translation else spec


# --- one connection


@dg.scaffold_with(_ConnectionScaffolder)
class RudderStackConnectionComponent(dg.Component, _SyncAttributes):
    """The asset of one connection.

        type: dagster_rudderstack.RudderStackConnectionComponent
        attributes:
          connection_id: 2hkeBOp0lGJpMPyur0oXUxxIDhw
          workspace:
            access_token: "{{ env.RUDDERSTACK_ACCESS_TOKEN }}"
          asset:
            key: crm_contacts
            deps: [customers]

    Override `get_asset_spec` or `execute` in a subclass.
    """

    connection_id: str = Field(description="The connection, from the RudderStack dashboard.")
    asset: ResolvedAssetSpec | None = Field(
        default=None, description="The asset; default: the key rudderstack/<connection_id>."
    )
    workspace: WorkspaceAttribute | None = Field(
        default=None,
        description="The workspace; default: the resource that the project has under the key.",
    )
    resource_key: str | None = Field(
        default=None,
        description=(
            "Key of the resource; default: rudderstack_ and the component's folder, or rudderstack "
            "where no workspace is given."
        ),
    )

    def get_asset_spec(self) -> dg.AssetSpec:
        """Return the asset."""
        return self.asset or dg.AssetSpec(["rudderstack", self.connection_id])

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the definitions; makes no request."""
        owned = f"{RESOURCE_KEY}_{_folder_name(context)}" if self.workspace else RESOURCE_KEY
        key = self.resource_key or owned
        asset = build_rudderstack_sync_asset(
            connection_id=self.connection_id,
            spec=self.get_asset_spec(),
            **self.sync_settings(key),
        )
        return dg.Definitions(
            assets=[asset],
            resources={key: self.workspace} if self.workspace else {},
            sensors=self.sensors([asset], key),
        )


# --- where a component is


def _place(context: dg.ComponentLoadContext) -> Any:
    """Return where a component is: a path below `defs`, or something else if the UI has made it."""
    # Dagster 1.12 knows paths only.
    return getattr(context, "component_loc", None) or context.component_path


def _file_path(context: dg.ComponentLoadContext) -> Path | None:
    path: Path | None = getattr(_place(context), "file_path", None)
    return path


def _folder_name(context: dg.ComponentLoadContext) -> str:
    """Return the component's place below `defs`, as a part of a name: one for each component."""
    path = _file_path(context)
    words: list[str] = []
    if path is not None and path.is_relative_to(context.defs_module_path):
        words += path.relative_to(context.defs_module_path).parts
    # Its number among several in one file, or the id that the UI has given it.
    if number := _place(context).instance_key:
        words.append(str(number))
    return re.sub(r"\W", "_", "_".join(words), flags=re.ASCII) or "workspace"


def _workspace_name(resource: RudderStackResource) -> str:
    """Return what tells a workspace from others, without its token and without a request."""
    address = resource.api_url if resource.api_url is not None else resource.region
    return f"{_shown(address) or 'us'}/{_token_name(resource.access_token)}"


def _shown(value: str | None) -> str | None:
    return value.env_var_name if isinstance(value, dg.EnvVar) else value


def _token_name(token: str) -> str:
    if isinstance(token, dg.EnvVar):
        return token.env_var_name
    return hashlib.sha256(token.encode()).hexdigest()[:8]


_loading: ContextVar[bool] = ContextVar("loading", default=False)
"""Whether definitions load, and wait for a refresh that nobody has asked for."""
_linking: ContextVar[frozenset[Path | None]] = ContextVar("linking", default=frozenset())
"""The components whose upstream assets are being looked for."""


def _upstream_assets(
    context: dg.ComponentLoadContext, upstream_from: Literal["project"] | Sequence[str]
) -> UpstreamAssets:
    """Return the definitions of the other components of the project."""
    here = _file_path(context)
    if here in _linking.get():
        # Another component has asked for our definitions while we ask for its own.
        return []
    token = _linking.set(_linking.get() | {here})
    try:
        places = _others(context) if upstream_from == "project" else map(Path, upstream_from)
        return [context.build_defs(place) for place in places]
    finally:
        _linking.reset(token)


def _others(context: dg.ComponentLoadContext) -> Iterator[Path]:
    """Yield the places of the project's components that may have tables."""
    root = context.load_structural_component_at_path(context.defs_module_path)
    here = _file_path(context)
    for place in _leaves(context.defs_module_path, root):
        if place != here and not isinstance(context.load_component(place), _OURS):
            yield place


_OURS = (RudderStackWorkspaceComponent, RudderStackConnectionComponent)


def _leaves(place: Path, component: dg.Component) -> Iterator[Path]:
    if not isinstance(component, DefsFolderComponent):
        yield place
        return
    for child_place, child in component.children.items():
        yield from _leaves(child_place, child)
