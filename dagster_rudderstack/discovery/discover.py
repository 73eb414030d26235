"""Makes the assets of a workspace from its snapshot."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import dagster as dg
from dagster import get_dagster_logger

from dagster_rudderstack.api.validation import checked_choice
from dagster_rudderstack.discovery.dependencies import Linked, check_dependencies
from dagster_rudderstack.discovery.disabled import DisabledConnections, disabled_warning
from dagster_rudderstack.discovery.known_assets import KnownAssets, UpstreamAssets, text_of
from dagster_rudderstack.discovery.props import RudderStackConnectionProps
from dagster_rudderstack.discovery.selector import RudderStackConnectionSelector, Selector
from dagster_rudderstack.discovery.snapshot import WorkspaceSnapshot
from dagster_rudderstack.discovery.tables import tables_of
from dagster_rudderstack.discovery.translator import DagsterRudderStackTranslator
from dagster_rudderstack.discovery.upstream import UpstreamFinder, UpstreamKeys
from dagster_rudderstack.errors import DiscoveryError, InvalidSettingError, RudderStackError
from dagster_rudderstack.metadata import MetadataKey
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.step.duplicates import duplicate_warning
from dagster_rudderstack.text import failure, plural, shown, summary_of

__all__ = ["DiscoveredAsset", "Discovery", "discovery_from"]

_LOG = get_dagster_logger("rudderstack")


@dataclass(frozen=True)
class DiscoveredAsset:
    """A connection and its asset."""

    props: RudderStackConnectionProps
    spec: dg.AssetSpec


@dataclass(frozen=True)
class Discovery:
    """Makes assets from snapshots. It sends no requests."""

    translator: DagsterRudderStackTranslator
    selector: RudderStackConnectionSelector
    disabled: DisabledConnections = "leave_out"
    upstream_assets: UpstreamAssets = ()
    upstream_keys: UpstreamKeys | None = None
    upstream_partition_mapping: dg.PartitionMapping | None = None
    link_template: str | None = None
    log: logging.Logger = _LOG

    def assets(
        self,
        snapshot: WorkspaceSnapshot,
        partitions_def: dg.PartitionsDefinition[str] | None = None,
    ) -> list[DiscoveredAsset]:
        """Return the assets of the selected connections.

        Args:
            snapshot: The workspace.
            partitions_def: The partitions of the assets. None uses those of their specs.

        Raises:
            DiscoveryError: If two assets have the same key, or the selector names something that
                does not exist in the workspace.
            InvalidSettingError: If Dagster would not take a dependency as it is meant.
        """
        checked_choice(self.disabled, DisabledConnections, "disabled")
        selected = self.selector.select_by_name(self._joined(snapshot))
        included = [props for props in selected if props.enabled or self.disabled == "mark"]
        finder = UpstreamFinder(
            self.upstream_assets,
            self.upstream_keys,
            self.log,
            partition_mapping=self.upstream_partition_mapping,
        )
        translated = self._translated(included, finder)
        keys = {each.spec.key for each in self._assets_in(translated)}
        if finder.knows_any(keys):
            # The keys of connections are known only now. Some of the upstream assets are
            # connections themselves.
            finder = finder.without(keys)
            translated = self._translated(included, finder)
        self._report_disabled(selected, included, is_any_left=bool(translated))
        self._report_left_out(translated)
        assets = self._assets_in(translated)
        # Otherwise the report of the disabled ones says that there are no assets.
        has_disabled = len(included) < len(selected)
        if snapshot.connections and not translated and not has_disabled:
            self.log.warning(
                "There are no assets: the selector selects none of the "
                f"{plural(len(snapshot.connections), 'connection')} of the workspace."
            )
        finder.warn_of_uncertain(upstream for each in assets for upstream in each.props.upstreams)
        finder.warn_of_unused()
        _check_keys(assets)
        linked = [(each.props, each.spec) for each in assets]
        check_dependencies(linked, finder.known, partitions_def)
        self._warn_of_duplicates(linked, finder.known)
        return assets

    def _warn_of_duplicates(self, connections: Iterable[Linked], known: KnownAssets) -> None:
        """Warn of connections that an asset of the project already syncs."""
        others: dict[str, list[dg.AssetKey]] = defaultdict(list)
        for key in known.executable:
            if connection := text_of(known.defined[key], MetadataKey.CONNECTION_ID):
                others[connection].append(key)
        lines = {
            props.name: duplicate_warning(props.id, dict.fromkeys([spec.key, *others[props.id]]))
            for props, spec in connections
            if {*others.get(props.id, ())} - {spec.key}
        }
        if lines:
            self.log.warning(summary_of(lines, "connection"))

    def _translated(
        self, selected: Sequence[RudderStackConnectionProps], finder: UpstreamFinder
    ) -> list[DiscoveredAsset | None]:
        """Return the assets of connections, downstream of the tables that they read.

        None stands for a connection that the translator left out.
        """
        linked = (_with_upstreams(props, finder) for props in selected)
        return [self._asset(props) for props in self.selector.select_by_predicate(linked)]

    def _assets_in(self, translated: Iterable[DiscoveredAsset | None]) -> list[DiscoveredAsset]:
        assets = [each for each in translated if each is not None]
        # Compared by identity, since connections that are not selected may have the same key.
        kept = {id(spec) for spec in self.selector.select_tagged([each.spec for each in assets])}
        return [each for each in assets if id(each.spec) in kept]

    def _report_left_out(self, translated: Sequence[DiscoveredAsset | None]) -> None:
        if left_out := translated.count(None):
            message = (
                "Left out connections for which get_asset_spec returned None: "
                f"{left_out:,} of {len(translated):,}."
            )
            if left_out < len(translated):
                self.log.info(message)
            else:
                self.log.warning(
                    f"{message} There are no assets. Check that get_asset_spec returns its spec."
                )

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

    def _report_disabled(
        self,
        selected: Sequence[RudderStackConnectionProps],
        included: Sequence[RudderStackConnectionProps],
        *,
        is_any_left: bool,
    ) -> None:
        """Log how many disabled connections are left out. Warn if the selector names some of them.

        Args:
            selected: The connections that meet the criteria, except the predicate and the tags.
            included: Those of them that are not left out.
            is_any_left: Whether the predicate accepts one that is not left out.
        """
        if len(included) == len(selected):
            return
        self.log.info(
            "Left out connections that are disabled in RudderStack: "
            f"{len(selected) - len(included):,} of {len(selected):,}."
        )
        if not is_any_left:
            disabled = [props for props in selected if not props.enabled]
            self.log.warning(
                "There are no assets, since no selected connection is enabled.\n"
                f"{disabled_warning(disabled)}"
            )
        elif named := [
            props
            for connections in self.selector.named(selected)
            if not any(props.enabled for props in connections)
            for props in connections
        ]:
            self.log.warning(disabled_warning(named))

    def _asset(self, props: RudderStackConnectionProps) -> DiscoveredAsset | None:
        try:
            spec = self.translator.get_asset_spec(props)
        except Exception as error:
            raise DiscoveryError(
                f"The asset of connection {props.name!r} ({props.id}) cannot be made: "
                f"{error if isinstance(error, RudderStackError) else failure(error)}"
            ) from error
        if spec is None:
            return None
        if not isinstance(spec, dg.AssetSpec):
            raise DiscoveryError(
                f"get_asset_spec returned {shown(spec)} for connection {props.name!r} "
                f"({props.id}): expected an AssetSpec, or None to leave the connection out."
            )
        connection = dg.MetadataValue.text(props.id)
        if spec.metadata.get(MetadataKey.CONNECTION_ID) != connection:
            # Sensors find the asset of a connection by this id, so a translator cannot remove it.
            spec = spec.merge_attributes(metadata={MetadataKey.CONNECTION_ID: connection})
        return DiscoveredAsset(props, spec)


def _link(template: str | None, connection_id: str) -> str | None:
    # An EnvVar is not read while definitions load, and a sync's page is not the connection's page.
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
                "Rename the source or the destination of one of them in RudderStack, use their ids "
                "as keys (key_by: id), or change the key of one of them with get_asset_spec or, in "
                "YAML, with translation."
            )


def discovery_from(  # noqa: PLR0913 - the arguments of both factories
    resource: RudderStackResource,
    translator: DagsterRudderStackTranslator | None,
    selector: Selector | None,
    *,
    disabled: DisabledConnections,
    upstream_assets: UpstreamAssets,
    upstream_keys: UpstreamKeys | None,
    upstream_partition_mapping: dg.PartitionMapping | None = None,
) -> Discovery:
    """Return a discovery with the arguments of the factories.

    Raises:
        InvalidSettingError: If an argument has a wrong type.
    """
    if not isinstance(translator, DagsterRudderStackTranslator | None):
        raise InvalidSettingError(
            "translator takes an instance of DagsterRudderStackTranslator, such as "
            f"DagsterRudderStackTranslator(), not {shown(translator)}."
        )
    if not isinstance(upstream_partition_mapping, dg.PartitionMapping | None):
        raise InvalidSettingError(
            "upstream_partition_mapping takes a mapping, such as dg.AllPartitionMapping(), not "
            f"{shown(upstream_partition_mapping)}."
        )
    return Discovery(
        translator=translator or DagsterRudderStackTranslator(),
        selector=_as_selector(selector),
        disabled=disabled,
        upstream_assets=upstream_assets,
        upstream_keys=upstream_keys,
        upstream_partition_mapping=upstream_partition_mapping,
        link_template=resource.dashboard_url,
    )


def _as_selector(selector: Selector | None) -> RudderStackConnectionSelector:
    """Return the selector that the user gave. None selects everything."""
    if isinstance(selector, RudderStackConnectionSelector):
        return selector
    if selector is None or callable(selector):
        return RudderStackConnectionSelector(predicate=selector)
    raise InvalidSettingError(
        "selector takes a RudderStackConnectionSelector or a function of the connection, not "
        f"{shown(selector)}."
    )
