"""Assets for all connections of a workspace: discovered once, then loaded from the snapshot."""

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict
from uuid import uuid4

import dagster as dg
from dagster import get_dagster_logger

from dagster_rudderstack.assets import (
    CoercibleToSpec,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_assets,
)
from dagster_rudderstack.checks import RejectedRowsCheck
from dagster_rudderstack.discovery.selector import RudderStackConnectionSelector, Selector
from dagster_rudderstack.discovery.snapshot import WorkspaceSnapshot, fetch_workspace
from dagster_rudderstack.discovery.translator import (
    DagsterRudderStackTranslator,
    RudderStackConnectionProps,
    key_part,
)
from dagster_rudderstack.discovery.upstream import (
    MAX_SHOWN,
    UpstreamAssets,
    UpstreamFinder,
    UpstreamKeys,
    tables_of,
)
from dagster_rudderstack.errors import DiscoveryError, InvalidSettingError, RudderStackError
from dagster_rudderstack.metadata import MetadataKey
from dagster_rudderstack.options import Execute
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.settings import OnDisabled, OnRunningSync, SyncType
from dagster_rudderstack.sync.retry import call_with_retries
from dagster_rudderstack.text import identifier, one_line
from dagster_rudderstack.validation import checked_choice

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "DisabledConnections",
    "Grouping",
    "Refresh",
    "SyncSettings",
    "build_rudderstack_assets_definitions",
    "fetch_rudderstack_workspace",
    "load_rudderstack_asset_specs",
    "refresh_rudderstack_snapshot",
    "rudderstack_assets",
]

DisabledConnections = Literal["leave_out", "mark"]
Grouping = Literal["connection", "source", "destination", "all"]
Refresh = Literal["if_missing", "always"]
Snapshot = WorkspaceSnapshot | str | os.PathLike[str]

_LOG = get_dagster_logger("rudderstack")

IMPATIENT_RETRIES = 1
"""Of a refresh that can be done without, since definitions that load wait for it."""


class SyncSettings(TypedDict, total=False):
    """Settings of `build_rudderstack_sync_assets`, which tells what they mean."""

    sync_type: SyncType | None
    on_running_sync: OnRunningSync | None
    on_disabled: OnDisabled
    timeout_seconds: int | None
    rejected_rows_check: RejectedRowsCheck | None
    wait: bool
    resource_key: str
    required_resource_keys: AbstractSet[str]
    execute: Execute | None
    partitions_def: dg.PartitionsDefinition[str] | None
    backfill_policy: dg.BackfillPolicy | None
    retry_policy: dg.RetryPolicy | None
    pool: str | None
    op_tags: Mapping[str, Any] | None


# --- the snapshot


def fetch_rudderstack_workspace(
    resource: RudderStackResource, *, max_retries: int | None = None
) -> WorkspaceSnapshot:
    """Read the workspace: a few requests per list, however many connections there are.

    Args:
        resource: of the workspace.
        max_retries: of each request, after passing errors; None: the resource's.

    Raises:
        RudderStackError: if RudderStack cannot be asked, or a variable that the resource reads is
            not set.
    """
    with resource as rudderstack:
        policy = rudderstack.sync_policy(None, None)
        if max_retries is not None:
            retry = policy.retry.model_copy(update={"request_max_retries": max_retries})
            policy = policy.model_copy(update={"retry": retry})
        return fetch_workspace(
            rudderstack.get_client(),
            retried=lambda call, wait: call_with_retries(call, policy.retry, _LOG, sleep=wait),
            max_concurrent=rudderstack.max_concurrent_requests,
            log=_LOG,
        )


def refresh_rudderstack_snapshot(
    resource: RudderStackResource,
    path: str | os.PathLike[str],
    *,
    max_retries: int | None = None,
) -> WorkspaceSnapshot:
    """Read the workspace and write its snapshot to a file; the old one stays if that fails.

    Args:
        resource: of the workspace.
        path: of the file.
        max_retries: as in `fetch_rudderstack_workspace`.

    Raises:
        RudderStackError: as `fetch_rudderstack_workspace`.
        OSError: if the file cannot be written.
    """
    snapshot = fetch_rudderstack_workspace(resource, max_retries=max_retries)
    write_snapshot(snapshot, Path(path))
    return snapshot


def write_snapshot(snapshot: WorkspaceSnapshot, path: Path) -> None:
    """Write a snapshot, so that whoever reads the file finds the old one or the new one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{uuid4().hex}")
    try:
        unfinished.write_text(snapshot.dumps(), encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _snapshot(
    resource: RudderStackResource, given: Snapshot | None, refresh: Refresh
) -> WorkspaceSnapshot:
    checked_choice(refresh, Refresh, "refresh")
    if isinstance(given, WorkspaceSnapshot):
        return given
    if given is None:
        return _fetched(resource)
    path = Path(given)
    if path.is_dir():
        raise InvalidSettingError(f"snapshot {str(path)!r} is a folder: expected a file in it.")
    if refresh == "always" or not path.exists():
        return _refreshed(resource, path)
    return _read(path)


def _fetched(resource: RudderStackResource) -> WorkspaceSnapshot:
    try:
        return fetch_rudderstack_workspace(resource)
    except RudderStackError as error:
        raise _kind(error)(
            f"The RudderStack workspace cannot be read now. {error} Name a file with snapshot=: "
            "once it is made, definitions load from it without RudderStack."
        ) from error


def _refreshed(resource: RudderStackResource, path: Path) -> WorkspaceSnapshot:
    try:
        patience = IMPATIENT_RETRIES if path.exists() else None
        return refresh_rudderstack_snapshot(resource, path, max_retries=patience)
    except (RudderStackError, OSError) as error:
        why = f"It cannot be written: {error}." if isinstance(error, OSError) else str(error)
        if not path.exists():
            raise _kind(error)(
                f"There is no snapshot of the RudderStack workspace at {path}, and none can be "
                f"made now. {why} {_how_to_refresh(path)}"
            ) from error
        _LOG.warning(f"{why} The snapshot at {path} is used as it is.")
        return _read(path)


def _kind(error: Exception) -> type[RudderStackError]:
    """Return what to raise for an error: a setting is wrong whoever finds it out."""
    return InvalidSettingError if isinstance(error, InvalidSettingError) else DiscoveryError


def _read(path: Path) -> WorkspaceSnapshot:
    try:
        return WorkspaceSnapshot.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DiscoveryError(f"{path} cannot be read: {error}. {_how_to_refresh(path)}") from error
    except UnicodeDecodeError:
        raise DiscoveryError(f"{path} is no snapshot. {_how_to_refresh(path)}") from None
    except DiscoveryError as error:
        raise DiscoveryError(f"{error} {_how_to_refresh(path)}") from error


def _how_to_refresh(path: Path) -> str:
    return (
        "Make a new one while RudderStack is in reach: "
        f"refresh_rudderstack_snapshot(resource, {str(path)!r})."
    )


# --- from the snapshot to assets


@dataclass(frozen=True)
class DiscoveredAsset:
    """A connection and the asset that the translator makes of it."""

    props: RudderStackConnectionProps
    spec: dg.AssetSpec


@dataclass(frozen=True)
class Discovery:
    """How a snapshot becomes assets; makes no request."""

    translator: DagsterRudderStackTranslator
    selector: RudderStackConnectionSelector
    disabled: DisabledConnections = "leave_out"
    upstream_assets: UpstreamAssets = ()
    upstream_keys: UpstreamKeys | None = None
    link_template: str | None = None
    log: logging.Logger = _LOG

    def assets(self, snapshot: WorkspaceSnapshot) -> list[DiscoveredAsset]:
        """Return the assets of the selected connections.

        Raises:
            DiscoveryError: for two assets with one key, and for a selector that means nothing.
        """
        selected = self._without_disabled(self.selector.select_by_name(self._joined(snapshot)))
        finder = UpstreamFinder(self.upstream_assets, self.upstream_keys, self.log)
        assets = self._linked(selected, finder)
        keys = {each.spec.key for each in assets}
        if finder.finds_among(keys):
            # Only now is it known that some of what tables were looked for among is our own.
            finder = finder.beside(keys)
            assets = self._linked(selected, finder)
        finder.tell_ambiguous(upstream for each in assets for upstream in each.props.upstreams)
        _check_keys(assets)
        return assets

    def _linked(
        self, selected: Sequence[RudderStackConnectionProps], finder: UpstreamFinder
    ) -> list[DiscoveredAsset]:
        """Return the assets of connections, downstream of the tables that they read."""
        linked = (_with_upstreams(props, finder) for props in selected)
        assets = [self._asset(props) for props in self.selector.select_by_predicate(linked)]
        # By identity: what is not selected may have the key of what is.
        kept = {id(spec) for spec in self.selector.select_tagged([each.spec for each in assets])}
        return [each for each in assets if id(each.spec) in kept]

    def _joined(self, snapshot: WorkspaceSnapshot) -> Iterable[RudderStackConnectionProps]:
        sources = {source.id: source for source in snapshot.sources}
        destinations = {destination.id: destination for destination in snapshot.destinations}
        for connection in snapshot.connections:
            yield RudderStackConnectionProps(
                connection=connection,
                source=sources.get(connection.source_id),
                destination=destinations.get(connection.destination_id),
                query=snapshot.queries.get(connection.source_id),
                link=_link(self.link_template, connection.id),
            )

    def _without_disabled(
        self, connections: Sequence[RudderStackConnectionProps]
    ) -> Sequence[RudderStackConnectionProps]:
        checked_choice(self.disabled, DisabledConnections, "disabled")
        if self.disabled == "mark":
            return connections
        enabled = [props for props in connections if props.enabled]
        if len(enabled) < len(connections):
            self.log.info(
                f"Left out, since they are disabled in RudderStack: "
                f"{len(connections) - len(enabled)} of {len(connections)} connections."
            )
        return enabled

    def _asset(self, props: RudderStackConnectionProps) -> DiscoveredAsset:
        spec = self.translator.get_asset_spec(props)
        if not isinstance(spec, dg.AssetSpec):
            raise DiscoveryError(
                f"get_asset_spec returned {type(spec).__name__} for connection {props.name!r} "
                f"({props.id}), not an AssetSpec."
            )
        connection = dg.MetadataValue.text(props.id)
        if spec.metadata.get(MetadataKey.CONNECTION_ID) != connection:
            # Whatever a translator makes of the metadata, sensors find a connection's asset by it.
            spec = spec.merge_attributes(metadata={MetadataKey.CONNECTION_ID: connection})
        return DiscoveredAsset(props, spec)


def _link(template: str | None, connection_id: str) -> str | None:
    # An EnvVar is not read while definitions load, and a page of a sync is not one of a connection.
    if template is None or isinstance(template, dg.EnvVar) or "{sync_id}" in template:
        return None
    return template.replace("{connection_id}", connection_id)


def _with_upstreams(
    props: RudderStackConnectionProps, finder: UpstreamFinder
) -> RudderStackConnectionProps:
    tables = tables_of(props.source, props.query) if props.source else ()
    return replace(props, upstreams=tuple(finder.find(table) for table in tables))


def _check_keys(assets: Iterable[DiscoveredAsset]) -> None:
    first: dict[dg.AssetKey, RudderStackConnectionProps] = {}
    for asset in assets:
        other = first.setdefault(asset.spec.key, asset.props)
        if other is not asset.props:
            raise DiscoveryError(
                f"Connections {other.name!r} ({other.id}) and {asset.props.name!r} "
                f"({asset.props.id}) both have the asset key {asset.spec.key.to_user_string()!r}. "
                "Rename the source or the destination of one of them in RudderStack, make keys of "
                "their ids (key_by: id), or give one of them another key in get_asset_spec or, in "
                "YAML, translation."
            )


def _discovery(  # noqa: PLR0913 - what both factories let a person choose
    resource: RudderStackResource,
    translator: DagsterRudderStackTranslator | None,
    selector: Selector | None,
    *,
    disabled: DisabledConnections,
    upstream_assets: UpstreamAssets,
    upstream_keys: UpstreamKeys | None,
) -> Discovery:
    if not isinstance(translator, DagsterRudderStackTranslator | None):
        raise InvalidSettingError(
            "translator takes a DagsterRudderStackTranslator, as DagsterRudderStackTranslator(), "
            f"not {_shown(translator)}."
        )
    return Discovery(
        translator=translator or DagsterRudderStackTranslator(),
        selector=as_selector(selector),
        disabled=disabled,
        upstream_assets=upstream_assets,
        upstream_keys=upstream_keys,
        link_template=resource.dashboard_url,
    )


def as_selector(selector: Selector | None) -> RudderStackConnectionSelector:
    """Return the selector that a user has given; None selects everything."""
    if isinstance(selector, RudderStackConnectionSelector):
        return selector
    if selector is None or callable(selector):
        return RudderStackConnectionSelector(predicate=selector)
    raise InvalidSettingError(
        "A selector is a RudderStackConnectionSelector or a function of the connection, not "
        f"{_shown(selector)}."
    )


def _shown(mistake: object) -> str:
    return one_line(repr(mistake), MAX_SHOWN)


def load_rudderstack_asset_specs(  # noqa: PLR0913 - what a person may choose
    resource: RudderStackResource,
    translator: DagsterRudderStackTranslator | None = None,
    selector: Selector | None = None,
    *,
    snapshot: Snapshot | None = None,
    refresh: Refresh = "if_missing",
    disabled: DisabledConnections = "leave_out",
    upstream_assets: UpstreamAssets = (),
    upstream_keys: UpstreamKeys | None = None,
) -> list[dg.AssetSpec]:
    """Return an asset for each connection of the workspace, downstream of the tables that it reads.

        specs = load_rudderstack_asset_specs(
            rudderstack,
            snapshot=Path(__file__).with_name("rudderstack.json"),
            upstream_assets=[my_dbt_assets],
        )

    Args:
        resource: of the workspace.
        translator: makes the assets; None: `DagsterRudderStackTranslator()`.
        selector: which connections; a selector, or a function of the connection; None: all.
        snapshot: the file of the workspace's snapshot, or the snapshot itself. With a file there
            are no requests unless it is missing: ship it with your code. None: RudderStack is asked
            each time that the definitions load, in each process of each run.
        refresh: `always` makes the file anew each time, and uses the old one if that fails, as
            while RudderStack is out of reach; for development.
        disabled: what becomes of connections that are disabled in RudderStack, or whose source or
            destination is: `leave_out`, or `mark` with the tag `rudderstack/enabled: "false"`.
        upstream_assets: the assets among which the tables are looked for.
        upstream_keys: says which asset a table is, before all rules; see `UpstreamKeys`.

    Raises:
        DiscoveryError: for two connections with one asset key, a selector that names what the
            workspace does not have, and a snapshot that is missing and cannot be made, or that
            cannot be read.
        InvalidSettingError: if a variable that the resource reads is not set, and RudderStack has
            to be asked.
    """
    discovery = _discovery(
        resource,
        translator,
        selector,
        disabled=disabled,
        upstream_assets=upstream_assets,
        upstream_keys=upstream_keys,
    )
    return [each.spec for each in discovery.assets(_snapshot(resource, snapshot, refresh))]


def build_rudderstack_assets_definitions(  # noqa: PLR0913 - what a person may choose
    resource: RudderStackResource,
    translator: DagsterRudderStackTranslator | None = None,
    selector: Selector | None = None,
    *,
    snapshot: Snapshot | None = None,
    refresh: Refresh = "if_missing",
    disabled: DisabledConnections = "leave_out",
    upstream_assets: UpstreamAssets = (),
    upstream_keys: UpstreamKeys | None = None,
    grouping: Grouping = "connection",
    name: str = "rudderstack",
    **settings: "Unpack[SyncSettings]",
) -> list[dg.AssetsDefinition]:
    """Return assets that sync the connections of the workspace.

    Args:
        resource: as in `load_rudderstack_asset_specs`; so are all that are not told here.
        translator: as there.
        selector: as there.
        snapshot: as there.
        refresh: as there.
        disabled: as there; a connection that is marked has a step of its own, which skips it. If
            only its source or its destination is disabled, it does so until the snapshot is
            refreshed.
        upstream_assets: as there.
        upstream_keys: as there.
        grouping: which connections share a step and its process: none (`connection`, the default:
            retries and assets downstream stay exact), those of a `source`, those of a
            `destination`, or `all`; those that are marked always have their own.
        name: what the names of steps with many connections begin with; one for each workspace.
        settings: as in `build_rudderstack_sync_assets`.

    Raises:
        DiscoveryError: as there.
        InvalidSettingError: as there.
    """
    discovery = _discovery(
        resource,
        translator,
        selector,
        disabled=disabled,
        upstream_assets=upstream_assets,
        upstream_keys=upstream_keys,
    )
    assets = discovery.assets(_snapshot(resource, snapshot, refresh))
    return assets_definitions(assets, grouping, name, **settings)


def assets_definitions(
    assets: Sequence[DiscoveredAsset],
    grouping: Grouping,
    name: str,
    **settings: "Unpack[SyncSettings]",
) -> list[dg.AssetsDefinition]:
    """Return the assets, in steps as `grouping` says."""
    checked_choice(grouping, Grouping, "grouping")
    if grouping == "connection":
        return _one_by_one(assets, settings)
    groups: dict[str, list[DiscoveredAsset]] = defaultdict(list)
    for asset in assets:
        if asset.props.enabled:
            groups[_GROUP_IDS[grouping](asset.props)].append(asset)
    names = _step_names(
        {key: f"{name}_{_GROUP_NAMES[grouping](group[0].props)}" for key, group in groups.items()}
    )
    together = [_together(group, names[key], settings) for key, group in groups.items()]
    # What is skipped is so alone: in a group, `on_disabled` would be that of all.
    marked = [asset for asset in assets if not asset.props.enabled]
    return [*together, *_one_by_one(marked, settings)]


_GROUP_IDS: Mapping[str, Callable[[RudderStackConnectionProps], str]] = {
    "source": lambda props: props.connection.source_id,
    "destination": lambda props: props.connection.destination_id,
    "all": lambda _: "",
}
_GROUP_NAMES: Mapping[str, Callable[[RudderStackConnectionProps], str]] = {
    "source": lambda props: f"from_{key_part(props.source_name)}",
    "destination": lambda props: f"to_{key_part(props.destination_name)}",
    "all": lambda _: "syncs",
}


def _one_by_one(
    assets: Sequence[DiscoveredAsset], settings: SyncSettings
) -> list[dg.AssetsDefinition]:
    names = _step_names({each.props.id: each.spec.key.to_python_identifier() for each in assets})
    return [
        build_rudderstack_sync_asset(
            connection_id=each.props.id,
            spec=each.spec,
            op_name=names[each.props.id],
            **_for(each.props, settings),
        )
        for each in assets
    ]


def _together(
    assets: Sequence[DiscoveredAsset], name: str, settings: SyncSettings
) -> dg.AssetsDefinition:
    return build_rudderstack_sync_assets(
        connections={each.props.id: each.spec for each in assets}, name=name, **settings
    )


def _for(props: RudderStackConnectionProps, settings: SyncSettings) -> SyncSettings:
    """Return the settings of a connection's step, which skips one that is marked as disabled."""
    if props.enabled:
        return settings
    skipping: SyncSettings = {**settings, "on_disabled": "skip"}
    # Before a sync only the connection is read, so of its ends the snapshot alone can tell.
    ends = [end for end in (props.source, props.destination) if end and not end.enabled]
    if not ends:
        return skipping
    which = "source" if ends[0] is props.source else "destination"
    return {**skipping, "execute": partial(_skip, f"Its {which} {one_line(ends[0].name)!r}")}


def _skip(
    what: str,
    context: dg.AssetExecutionContext,
    _rudderstack: RudderStackResource,
    _sync: Callable[[], Iterator[Any]],
) -> Iterable[Any]:
    """Do what the step of a connection does whose source or destination is disabled: nothing."""
    context.log.info(
        f"Skipped. {what} was disabled in RudderStack when the snapshot of "
        "the workspace was made. If it no longer is, refresh the snapshot."
    )
    return ()


def _step_names(names: Mapping[str, str]) -> dict[str, str]:
    """Return names that Dagster takes for steps, each once, by the ids that tell them apart."""
    clean = {key: identifier(name) for key, name in names.items()}
    taken = Counter(clean.values())
    return {
        key: name if taken[name] == 1 else f"{name}_{identifier(key)}"
        for key, name in clean.items()
    }


# --- a body of the user's own


def rudderstack_assets(
    *,
    connection_id: str | None = None,
    spec: CoercibleToSpec | None = None,
    connections: Mapping[str, CoercibleToSpec] | None = None,
    name: str | None = None,
    **settings: "Unpack[SyncSettings]",
) -> Callable[[Execute], dg.AssetsDefinition]:
    """Make assets of a function that does something around the syncs.

        @rudderstack_assets(connection_id="2hkeBOp0lGJpMPyur0oXUxxIDhw", spec="crm_contacts")
        def crm_contacts(context, rudderstack, sync):
            context.log.info("Telling the sales team to look away.")
            yield from sync()

    The function is given Dagster's context, the resource, and `sync`, which syncs what is selected
    and yields what Dagster is to know. It yields that, and may yield more.

    Args:
        connection_id: the connection.
        spec: its asset; None: the key is `rudderstack/<connection_id>`.
        connections: instead of these two, many connections, as in `build_rudderstack_sync_assets`.
        name: of the step; None: the function's.
        settings: as in `build_rudderstack_sync_assets`, but `execute`.

    Raises:
        InvalidSettingError: for an id, a sync type or another choice that cannot be right, and for
            both one connection and many, or none.
    """
    if (connection_id is None) == (connections is None) or (connections and spec is not None):
        raise InvalidSettingError(
            "rudderstack_assets takes either connection_id, with spec if you like, or connections."
        )

    def decorate(body: Execute) -> dg.AssetsDefinition:
        step = name or str(getattr(body, "__name__", "rudderstack_syncs"))
        with_body: SyncSettings = {**settings, "execute": body}
        if connections is not None:
            return build_rudderstack_sync_assets(connections=connections, name=step, **with_body)
        assert connection_id is not None  # noqa: S101 - one of the two is given, checked above
        return build_rudderstack_sync_asset(
            connection_id=connection_id, spec=spec, op_name=step, **with_body
        )

    return decorate
