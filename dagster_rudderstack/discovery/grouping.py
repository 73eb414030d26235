"""Which connections share a step, and the names of the steps."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg

from dagster_rudderstack.api.validation import checked_choice
from dagster_rudderstack.assets import build_rudderstack_sync_asset, build_rudderstack_sync_assets
from dagster_rudderstack.discovery.discover import DiscoveredAsset
from dagster_rudderstack.discovery.names import key_part
from dagster_rudderstack.discovery.props import RudderStackConnectionProps
from dagster_rudderstack.options import AssetOptions
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.text import identifier, one_line

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Grouping", "assets_definitions"]

Grouping = Literal["connection", "source", "destination", "all"]


def assets_definitions(
    assets: Sequence[DiscoveredAsset],
    grouping: Grouping,
    name: str,
    **options: "Unpack[AssetOptions]",
) -> list[dg.AssetsDefinition]:
    """Return the definitions of assets, in the steps of a grouping."""
    checked_choice(grouping, Grouping, "grouping")
    if grouping == "connection":
        return _one_by_one(assets, options)
    groups: dict[str, list[DiscoveredAsset]] = defaultdict(list)
    for asset in assets:
        if asset.props.enabled:
            groups[_GROUP_IDS[grouping](asset.props)].append(asset)
    names = _step_names(
        {key: f"{name}_{_GROUP_NAMES[grouping](group[0].props)}" for key, group in groups.items()}
    )
    together = [_together(group, names[key], options) for key, group in groups.items()]
    # Not in a group, where `on_disabled` would hold for all connections.
    marked = [asset for asset in assets if not asset.props.enabled]
    return [*together, *_one_by_one(marked, options)]


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
    assets: Sequence[DiscoveredAsset], options: AssetOptions
) -> list[dg.AssetsDefinition]:
    names = _step_names({each.props.id: each.spec.key.to_python_identifier() for each in assets})
    return [
        build_rudderstack_sync_asset(
            connection_id=each.props.id,
            spec=each.spec,
            op_name=names[each.props.id],
            **_for(each.props, options),
        )
        for each in assets
    ]


def _together(
    assets: Sequence[DiscoveredAsset], name: str, options: AssetOptions
) -> dg.AssetsDefinition:
    return build_rudderstack_sync_assets(
        connections={each.props.id: each.spec for each in assets}, name=name, **options
    )


def _for(props: RudderStackConnectionProps, options: AssetOptions) -> AssetOptions:
    """Return the options of a connection's step. It skips a connection marked as disabled."""
    if props.enabled:
        return options
    skipping: AssetOptions = {**options, "on_disabled": "skip"}
    # A step reads only the connection, so the snapshot decides about its source and destination.
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
    """Do nothing: the body of a step whose source or destination is disabled."""
    context.log.info(
        f"Skipped. {what} was disabled in RudderStack when the snapshot of "
        "the workspace was made. If it is enabled now, refresh the snapshot."
    )
    return ()


def _step_names(names: Mapping[str, str]) -> dict[str, str]:
    """Return names that Dagster accepts for steps, each once, by id."""
    clean = {key: identifier(name) for key, name in names.items()}
    taken = Counter(clean.values())
    return {
        key: name if taken[name] == 1 else f"{name}_{identifier(key)}"
        for key, name in clean.items()
    }
