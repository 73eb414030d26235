"""The asset that the translator makes for a connection."""

from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    Connection,
    DagsterRudderStackTranslator,
    InvalidSettingError,
    MetadataKey,
    RudderStackConnectionProps,
    Upstream,
    UpstreamTable,
)
from dagster_rudderstack.api.models import Destination, Source
from dagster_rudderstack.discovery.sql import query
from dagster_rudderstack.discovery.sql.lineage import TableName

CUSTOMERS = dg.AssetSpec(
    ["warehouse", "customers"],
    metadata={
        "dagster/column_schema": dg.TableSchema(
            columns=[dg.TableColumn("id", "int"), dg.TableColumn("email", "text")]
        )
    },
)


def connection(**wire: Any) -> Connection:
    ends = {"id": "c1", "sourceId": "s1", "destinationId": "d1"}
    return Connection.model_validate({**ends, **wire})


def source(**wire: Any) -> Source:
    facts = {"id": "s1", "name": "Customers", "sourceType": "table"}
    return Source.model_validate({**facts, "sourceDefinitionName": "snowflake", **wire})


def destination(**wire: Any) -> Destination:
    return Destination.model_validate({"id": "d1", "name": "HubSpot", "type": "HS", **wire})


def upstream(spec: dg.AssetSpec | None = CUSTOMERS, name: str = "customers") -> Upstream:
    table = UpstreamTable(TableName(name=name, schema_name="analytics"), "snowflake")
    return Upstream(table, spec.key if spec else None, spec)


def props(
    source: Source | None = source(),  # noqa: B008 - immutable
    destination: Destination | None = destination(),  # noqa: B008 - immutable
    upstreams: tuple[Upstream, ...] = (),
    sql: str | None = None,
    **wire: Any,
) -> RudderStackConnectionProps:
    return RudderStackConnectionProps(
        connection=connection(**wire),
        source=source,
        destination=destination,
        upstreams=upstreams,
        query=query.lineage_of(sql, "snowflake") if sql else None,
    )


def spec_of(given: RudderStackConnectionProps, **settings: Any) -> dg.AssetSpec:
    return DagsterRudderStackTranslator(**settings).get_asset_spec(given)


KEYS = {
    "names": (props(), ["rudderstack", "hubspot", "customers"]),
    "object": (props(object="Contact"), ["rudderstack", "hubspot", "contact", "customers"]),
    "words": (
        props(source(name=" Big-Spenders  (v2) "), destination(name="Hub Spot / EU")),
        ["rudderstack", "hub_spot_eu", "big_spenders_v2"],
    ),
    "accents": (
        props(source(name="Café"), destination(name="Übersicht")),
        ["rudderstack", "ubersicht", "cafe"],
    ),
    "other alphabets": (
        props(source(name="Клиенты EU"), destination(name="顧客")),
        ["rudderstack", "d1", "eu_s1"],
    ),
    "no letters": (
        props(source(name="—"), destination(name="!?")),
        ["rudderstack", "d1", "s1"],
    ),
    "unknown source and destination": (props(None, None), ["rudderstack", "d1", "s1"]),
}


@pytest.mark.parametrize(("given", "key"), KEYS.values(), ids=KEYS.keys())
def test_key(given: RudderStackConnectionProps, key: list[str]) -> None:
    """A key is made of the names of the destination, the object and the source."""
    assert spec_of(given).key == dg.AssetKey(key)


def test_key__by_id() -> None:
    """A key by id does not change if the source or the destination is renamed."""
    renamed = props(source(name="Clients"), destination(name="Hub"))

    assert spec_of(props(), key_by="id").key == dg.AssetKey(["rudderstack", "c1"])
    assert spec_of(renamed, key_by="id").key == spec_of(props(), key_by="id").key


def test_key_by__unknown() -> None:
    """An unknown `key_by` is refused."""
    with pytest.raises(InvalidSettingError, match="key_by"):
        DagsterRudderStackTranslator(key_by="colour")  # type: ignore[arg-type]


def test_name() -> None:
    """The name of a connection has its source, its destination and its object."""
    assert props().name == "Customers to HubSpot"
    assert props(object="Contact").name == "Customers to HubSpot (Contact)"
    assert props(None, None).name == "s1 to d1"


KINDS = {
    "HS": "hubspot",
    "hs": "hubspot",
    "HUBSPOT": "hubspot",
    "BRAZE": "braze",
    "FACEBOOK_CONVERSIONS": "facebook",
    "FB_CUSTOM_AUDIENCE": "facebook",
    "SALESFORCE_OAUTH": "salesforce",
    "GOOGLE_ADWORDS_REMARKETING_LISTS": "googleads",
    "My tool!": "my_tool",
}


@pytest.mark.parametrize(("kind", "name"), KINDS.items(), ids=KINDS.keys())
def test_kinds(kind: str, name: str) -> None:
    """An asset has the kinds of RudderStack and of the tool that it writes to."""
    assert spec_of(props(destination=destination(type=kind))).kinds == {"rudderstack", name}


def test_kinds__no_letters() -> None:
    """A destination type without a letter adds no kind."""
    assert spec_of(props(destination=destination(type="?"))).kinds == {"rudderstack"}


def test_tags_and_group() -> None:
    """An asset has tags for its source and its destination, and a group."""
    spec = spec_of(props(source(name="Big spenders")))

    assert spec.group_name == "rudderstack"
    assert spec.tags["rudderstack/source"] == "Big_spenders"
    assert spec.tags["rudderstack/destination"] == "HubSpot"
    assert spec.tags["rudderstack/destination_type"] == "HS"
    assert "rudderstack/enabled" not in spec.tags


@pytest.mark.parametrize(
    "disabled",
    [
        props(enabled=False),
        props(source(enabled=False)),
        props(destination=destination(enabled=False)),
    ],
    ids=["connection", "source", "destination"],
)
def test_disabled(disabled: RudderStackConnectionProps) -> None:
    """A connection is marked if it, its source or its destination is disabled."""
    spec = spec_of(disabled)

    assert not disabled.enabled
    assert spec.tags["rudderstack/enabled"] == "false"
    assert spec.metadata[MetadataKey.ENABLED] == dg.MetadataValue.bool(False)
    assert "Disabled in RudderStack." in (spec.description or "")


DESCRIPTIONS = {
    "table": (
        props(upstreams=(upstream(),), object="Contact"),
        "Reverse ETL sync of Customers (table analytics.customers in snowflake) to HubSpot (HS), "  # noqa: ISC004 - one text
        "object Contact.",
    ),
    "model": (
        props(source(sourceType="model"), upstreams=(upstream(), upstream(name="orders"))),
        "Reverse ETL sync of Customers (SQL model on analytics.customers, analytics.orders in "  # noqa: ISC004 - one text
        "snowflake) to HubSpot (HS).",
    ),
    "interval": (
        props(None, None, schedule={"type": "basic", "everyMinutes": 30}),
        "Reverse ETL sync of s1 to d1. RudderStack also starts it on a schedule: every 30 min.",
    ),
    "cron": (
        props(None, None, schedule={"type": "cron", "cronExpression": "0 3 * * *"}),
        "Reverse ETL sync of s1 to d1. RudderStack also starts it on a schedule: 0 3 * * * (UTC).",
    ),
    "unknown schedule": (
        props(None, None, schedule={"type": "lunar"}),
        "Reverse ETL sync of s1 to d1. RudderStack also starts it on a schedule: lunar.",
    ),
    "manual": (
        props(None, None, schedule={"type": "manual"}),
        "Reverse ETL sync of s1 to d1.",
    ),
}


@pytest.mark.parametrize(("given", "words"), DESCRIPTIONS.values(), ids=DESCRIPTIONS.keys())
def test_description(given: RudderStackConnectionProps, words: str) -> None:
    """The description has the source, the destination and the schedule."""
    assert spec_of(given).description == words


IMAGE = "![x](https://a.b/c.png)"
ESCAPED_IMAGE = r"!\[x](https\://a.b/c.png)"


def test_description__markdown() -> None:
    """Dagster renders descriptions as Markdown. An image in a name is shown as text."""
    given = props(
        source(name=IMAGE, sourceDefinitionName=IMAGE, sourceType=IMAGE),
        destination(name=IMAGE, type=IMAGE),
        upstreams=(upstream(name=IMAGE),),
        object=IMAGE,
        schedule={"type": IMAGE},
    )

    description = spec_of(given).description or ""

    assert description.count(ESCAPED_IMAGE) == 8
    assert IMAGE not in description


def test_column_description__markdown() -> None:
    """In the description of a column, an image in a name is shown as text, too."""
    given = props(mappings=[{"from": IMAGE, "to": IMAGE}])

    schema = spec_of(given).metadata["dagster/column_schema"].value
    (column,) = schema.columns

    assert column.name == IMAGE
    assert column.description == f"From `{IMAGE}`"
    assert description_of_column("a`b") == r"From a\`b"


def description_of_column(column: str, **given: Any) -> str | None:
    found = props(mappings=[{"from": column, "to": "field"}], **given)
    (only,) = spec_of(found).metadata["dagster/column_schema"].value.columns
    description: str | None = only.description
    return description


def test_column_description__origins() -> None:
    """The description of a column names the upstream columns and their tables."""
    table = (upstream(),)
    tables = (upstream(), upstream(dg.AssetSpec("orders"), name="orders"))
    joined = (
        "select concat(c.email, o.total) as mail, 1 as one from analytics.customers c "
        "join analytics.orders o on o.id = c.id"
    )

    assert description_of_column("EMAIL") == "From `EMAIL`"
    assert (
        description_of_column("EMAIL", upstreams=table) == "From `email` of `analytics.customers`"
    )
    assert (
        description_of_column("mail", upstreams=tables, sql=joined)
        == "From `email` of `analytics.customers`, `total` of `analytics.orders`"
    )
    assert description_of_column("one", upstreams=tables, sql=joined) == "From `one`"


def test_column_description__many_origins() -> None:
    """The description of a column that is made of many names five of them."""
    mixed = f"concat({', '.join(f'c{n}' for n in range(9))})"
    sql = f"select {mixed} as mixed from analytics.customers"

    text = description_of_column("mixed", upstreams=(upstream(),), sql=sql) or ""

    assert text.count(" of ") == 5
    assert text.endswith(" and 4 more")


def test_names__control_characters() -> None:
    """Names with line breaks, control characters and markup become one line of text."""
    hostile = props(source(name="a\n\x1b[31m<script>"), destination(name="b\x00" * 500))
    spec = spec_of(hostile)

    assert "\n" not in (spec.description or "")
    assert "\x1b" not in (spec.description or "")
    assert len(spec.tags["rudderstack/destination"]) <= 63
    assert len(spec.key.path[1]) <= 200


def test_metadata() -> None:
    """The properties of a connection are metadata. Unknown ones are left out."""
    given = props(
        upstreams=(upstream(),),
        object="Contact",
        syncBehaviour="mirror",
        cursorColumn="updated_at",
        schedule={"type": "basic", "everyMinutes": 30},
    )
    texts = {
        key: value.value
        for key, value in spec_of(given).metadata.items()
        if isinstance(value, dg.TextMetadataValue)
    }

    assert texts == {
        "rudderstack/connection_id": "c1",
        "rudderstack/source_id": "s1",
        "rudderstack/source_name": "Customers",
        "rudderstack/source_type": "table",
        "rudderstack/source_tables": "analytics.customers",
        "rudderstack/warehouse": "snowflake",
        "rudderstack/destination_id": "d1",
        "rudderstack/destination_name": "HubSpot",
        "rudderstack/destination_type": "HS",
        "rudderstack/object": "Contact",
        "rudderstack/sync_behaviour": "mirror",
        "rudderstack/schedule": "every 30 min",
        "rudderstack/cursor_column": "updated_at",
    }
    assert MetadataKey.OBJECT not in spec_of(props()).metadata


def schema_of(given: RudderStackConnectionProps) -> dict[str, tuple[str, list[str]]]:
    """Return the type and the constraints of each column."""
    schema = spec_of(given).metadata["dagster/column_schema"].value
    assert isinstance(schema, dg.TableSchema)
    return {column.name: (column.type, list(column.constraints.other)) for column in schema.columns}


def lineage_of(given: RudderStackConnectionProps) -> dict[str, list[tuple[str, str]]]:
    """Return the upstream columns of each column."""
    value = spec_of(given).metadata.get("dagster/column_lineage")
    lineage = value.value if value else dg.TableColumnLineage({})
    assert isinstance(lineage, dg.TableColumnLineage)
    return {
        name: [(dep.asset_key.to_user_string(), dep.column_name) for dep in deps]
        for name, deps in lineage.deps_by_column.items()
    }


FIELDS: dict[str, Any] = {
    "identifiers": [{"from": "EMAIL", "to": "email"}],
    "mappings": [{"from": "FIRST_NAME", "to": "firstname"}],
    "constants": [{"key": "origin", "value": "dagster"}],
}


def test_column_schema() -> None:
    """The columns are the fields of the destination, with the types of the upstream columns."""
    assert schema_of(props(upstreams=(upstream(),), **FIELDS)) == {
        "email": ("text", ["identifier"]),
        "firstname": ("unknown", []),
        "origin": ("string", []),
    }


def test_column_lineage__table() -> None:
    """The upstream column of a field is a column of the table, as its asset spells it."""
    assert lineage_of(props(upstreams=(upstream(),), **FIELDS)) == {
        "email": [("warehouse/customers", "email")],
        "firstname": [("warehouse/customers", "FIRST_NAME")],
    }


def test_column_lineage__name_of_the_event() -> None:
    """The column with the names of track events is upstream of the field `event`."""
    event = {"type": "track", "nameColumn": "email"}

    assert lineage_of(props(upstreams=(upstream(),), event=event)) == {
        "event": [("warehouse/customers", "email")]
    }
    assert lineage_of(props(upstreams=(upstream(),), event={"type": "track", "name": "Paid"})) == {}


def test_column_lineage__query() -> None:
    """The upstream columns of a field are those from which the SQL model makes it."""
    given = props(
        upstreams=(upstream(), upstream(dg.AssetSpec("orders"), name="orders")),
        sql="select lower(c.email) as email, o.total as first_name from analytics.customers c "
        "join analytics.orders o on o.id = c.id",
        **FIELDS,
    )

    assert lineage_of(given) == {
        "email": [("warehouse/customers", "email")],
        "firstname": [("orders", "total")],
    }
    # A computed column may have another type.
    assert schema_of(given)["email"] == ("unknown", ["identifier"])


def test_column_schema__unchanged_column() -> None:
    """A column that a SQL model does not change keeps its type."""
    given = props(upstreams=(upstream(),), sql="select * from analytics.customers", **FIELDS)

    assert schema_of(given)["email"] == ("text", ["identifier"])


def test_column_schema__field_filled_twice() -> None:
    """A field that is an identifier and mapped is one column, with the lineage of both."""
    fields = {
        "identifiers": [{"from": "email", "to": "email"}],
        "mappings": [{"from": "mail", "to": "email"}, {"from": "email", "to": "email"}],
    }
    given = props(upstreams=(upstream(),), **fields)  # type: ignore[arg-type]

    assert schema_of(given) == {"email": ("unknown", ["identifier"])}
    assert lineage_of(given) == {
        "email": [("warehouse/customers", "email"), ("warehouse/customers", "mail")]
    }


def test_column_schema__no_fields() -> None:
    """A connection without fields has no column schema, since it may send all columns."""
    assert "dagster/column_schema" not in spec_of(props(upstreams=(upstream(),))).metadata


@pytest.mark.parametrize(
    "upstreams",
    [(), (upstream(None),), (upstream(), upstream())],
    ids=["no table", "left out", "two tables without a query"],
)
def test_column_lineage__unknown(upstreams: tuple[Upstream, ...]) -> None:
    """If the upstream table is unknown, there is a schema but no lineage."""
    given = props(upstreams=upstreams, **FIELDS)

    assert set(schema_of(given)) == {"email", "firstname", "origin"}
    assert lineage_of(given) == {}


@pytest.mark.parametrize("constant", [{}, {"value": "x"}, {"key": 3}, {"key": ""}])
def test_fields__constant_without_a_name(constant: dict[str, object]) -> None:
    """A constant without the name of a field is left out."""
    assert props(constants=[constant]).fields == ()


def test_deps() -> None:
    """An asset depends once on each asset of its tables, except those left out."""
    given = props(upstreams=(upstream(), upstream(), upstream(None), upstream(dg.AssetSpec("b"))))

    assert [dep.asset_key.to_user_string() for dep in spec_of(given).deps] == [
        "warehouse/customers",
        "b",
    ]
