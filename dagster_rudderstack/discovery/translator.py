"""Translates a connection into an asset: its key, tags, description, metadata and dependencies."""

from typing import Any, Literal

import dagster as dg

from dagster_rudderstack.api.models import Schedule
from dagster_rudderstack.api.validation import checked_choice
from dagster_rudderstack.assets.specs import KIND
from dagster_rudderstack.discovery.columns import column_metadata
from dagster_rudderstack.discovery.names import key_part, name_part, safe_part, tag_value
from dagster_rudderstack.discovery.props import MAX_NAME_LENGTH, RudderStackConnectionProps
from dagster_rudderstack.discovery.upstream import is_same_mapping
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.metadata import MetadataKey
from dagster_rudderstack.text import escaped_markdown, one_line

__all__ = ["DagsterRudderStackTranslator", "KeyBy"]

GROUP = "rudderstack"

KeyBy = Literal["name", "id"]


class DagsterRudderStackTranslator:
    """Makes the asset of a connection. Override `get_asset_spec` to change it or to leave it out.

        from dagster_rudderstack import DagsterRudderStackTranslator


        class Translator(DagsterRudderStackTranslator):
            def get_asset_spec(self, props):
                spec = super().get_asset_spec(props)
                return spec.replace_attributes(group_name="activation", owners=["team:crm"])

    Args:
        key_by: `name` makes readable keys from the names of the destination and the source
            (`rudderstack/hubspot/contact/customers`). Renaming one in RudderStack makes a new
            asset. `id` makes keys that survive renames (`rudderstack/2hkeBOp0…`).

    Raises:
        InvalidSettingError: If `key_by` is neither.
    """

    def __init__(self, key_by: KeyBy = "name") -> None:
        checked_choice(key_by, KeyBy, "key_by")
        self._key_by: KeyBy = key_by

    # `| Any` and not `| None`: an override may return None, but what `super()` returns can be used
    # without a check for None, since this method never returns it.
    def get_asset_spec(self, props: RudderStackConnectionProps) -> dg.AssetSpec | Any:
        """Return the asset of a connection. An override may return None: it becomes no asset.

        Args:
            props: The connection, its source, its destination and its tables.
        """
        return dg.AssetSpec(
            key=_key(props, self._key_by),
            deps=_deps(props),
            description=_description(props),
            group_name=GROUP,
            kinds={kind for kind in (KIND, props.destination_kind) if kind},
            tags=_tags(props),
            metadata={**_facts(props), **column_metadata(props)},
        )


def _key(props: RudderStackConnectionProps, key_by: KeyBy) -> dg.AssetKey:
    if key_by == "id":
        return dg.AssetKey([KIND, safe_part(props.id)])
    connection = props.connection
    parts = [
        name_part(props.destination_name, connection.destination_id),
        key_part(props.object or ""),
        name_part(props.source_name, connection.source_id),
    ]
    return dg.AssetKey([KIND, *(part for part in parts if part)])


def _deps(props: RudderStackConnectionProps) -> list[dg.AssetDep]:
    deps: dict[dg.AssetKey, dg.AssetDep] = {}
    for upstream in props.upstreams:
        if upstream.key is not None:
            dep = dg.AssetDep(upstream.key, partition_mapping=upstream.partition_mapping)
            first = deps.setdefault(upstream.key, dep)
            if not is_same_mapping(first.partition_mapping, dep.partition_mapping):
                name = upstream.key.to_user_string()
                raise InvalidSettingError(
                    f"upstream_keys: the tables of the asset {name!r} have different partition "
                    "mappings. Give all of them the same."
                )
    return list(deps.values())


def _tags(props: RudderStackConnectionProps) -> dict[str, str]:
    tags = {
        "rudderstack/source": tag_value(props.source_name),
        "rudderstack/destination": tag_value(props.destination_name),
        "rudderstack/destination_type": tag_value(
            props.destination.type if props.destination else ""
        ),
        "rudderstack/enabled": "" if props.enabled else "false",
    }
    return {name: value for name, value in tags.items() if value}


def _description(props: RudderStackConnectionProps) -> str:
    destination = props.destination
    tool = f" ({one_line(destination.type, MAX_NAME_LENGTH)})" if destination else ""
    into = f", object {props.object}" if props.object else ""
    what = f"{props.source_name}{_read_from(props)} to {props.destination_name}{tool}{into}"
    sentences = [
        f"Reverse ETL sync of {what}.",
        _schedule_sentence(props.connection.schedule),
        "" if props.enabled else "Disabled in RudderStack.",
    ]
    return escaped_markdown(" ".join(sentence for sentence in sentences if sentence))


def _read_from(props: RudderStackConnectionProps) -> str:
    source = props.source
    if source is None:
        return ""
    what = {"model": "SQL model on", "table": "table"}.get(source.source_type, source.source_type)
    tables = ", ".join(str(upstream.table) for upstream in props.upstreams)
    warehouse = source.source_definition_name
    words = [what, tables, f"in {warehouse}" if warehouse else ""]
    return f" ({' '.join(one_line(word, MAX_NAME_LENGTH) for word in words if word)})"


def _schedule_sentence(schedule: Schedule | None) -> str:
    if schedule is None or schedule.is_manual:
        return ""
    return f"RudderStack also starts it on a schedule: {_schedule_text(schedule)}."


def _schedule_text(schedule: Schedule) -> str:
    if schedule.every_minutes is not None:
        return f"every {schedule.every_minutes} min"
    if schedule.cron_expression is not None:
        return f"{one_line(schedule.cron_expression, MAX_NAME_LENGTH)} (UTC)"
    return one_line(schedule.type, MAX_NAME_LENGTH)


def _facts(props: RudderStackConnectionProps) -> dict[str, dg.MetadataValue]:
    connection, source, destination = props.connection, props.source, props.destination
    schedule = connection.schedule
    primary_key = source.config.get("primaryKey") if source else None
    texts = {
        MetadataKey.CONNECTION_ID: connection.id,
        MetadataKey.SOURCE_ID: connection.source_id,
        MetadataKey.SOURCE_NAME: source and source.name,
        MetadataKey.SOURCE_TYPE: source and source.source_type,
        MetadataKey.SOURCE_TABLES: ", ".join(str(each.table) for each in props.upstreams),
        MetadataKey.WAREHOUSE: source and source.source_definition_name,
        MetadataKey.PRIMARY_KEY: primary_key if isinstance(primary_key, str) else None,
        MetadataKey.DESTINATION_ID: connection.destination_id,
        MetadataKey.DESTINATION_NAME: destination and destination.name,
        MetadataKey.DESTINATION_TYPE: destination and destination.type,
        MetadataKey.OBJECT: connection.object,
        MetadataKey.SYNC_BEHAVIOUR: connection.sync_behaviour,
        MetadataKey.SCHEDULE: schedule and _schedule_text(schedule),
        MetadataKey.CURSOR_COLUMN: connection.cursor_column,
    }
    facts: dict[str, dg.MetadataValue] = {
        key: dg.MetadataValue.text(one_line(value)) for key, value in texts.items() if value
    }
    facts[MetadataKey.SYNC_LOGS] = dg.MetadataValue.bool(connection.sync_logs.enabled)
    facts[MetadataKey.ENABLED] = dg.MetadataValue.bool(props.enabled)
    if props.link:
        facts[MetadataKey.LINK] = dg.MetadataValue.url(props.link)
    return facts
