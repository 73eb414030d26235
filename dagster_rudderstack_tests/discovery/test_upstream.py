"""The asset of a table, by the rules and by the user's choice."""

import logging
from collections.abc import Sequence

import dagster as dg
import pytest

from dagster_rudderstack import (
    InvalidSettingError,
    Upstream,
    UpstreamTable,
    build_rudderstack_sync_asset,
)
from dagster_rudderstack.api.models import Source
from dagster_rudderstack.discovery.sql.lineage import QueryLineage, TableName
from dagster_rudderstack.discovery.tables import tables_of
from dagster_rudderstack.discovery.upstream import UpstreamFinder

LOG = logging.getLogger("test-upstream")


def table(name: str, warehouse: str | None = "snowflake") -> UpstreamTable:
    """Return a table with this name."""
    *schema, last = name.split(".")
    catalog = schema[0] if len(schema) > 1 else None
    return UpstreamTable(
        TableName(name=last, schema_name=schema[-1] if schema else None, catalog=catalog), warehouse
    )


def asset(key: str, table_name: str | None = None, kind: str | None = None) -> dg.AssetSpec:
    """Return an asset, with the name of its table and its storage if given."""
    metadata = {"dagster/table_name": table_name, "dagster/storage_kind": kind}
    return dg.AssetSpec(
        dg.AssetKey.from_user_string(key),
        metadata={name: value for name, value in metadata.items() if value},
    )


def find(name: str | UpstreamTable, *assets: object, keys: object = None) -> str | None:
    """Return the key of the asset of a table."""
    finder = UpstreamFinder(assets, keys, LOG)  # type: ignore[arg-type]
    key = finder.find(table(name) if isinstance(name, str) else name).key
    return key.to_user_string() if key else None


MATCHES = {
    "full name": ("db.crm.people", [asset("a", "db.crm.people")], "a"),
    "schema and name": ("crm.people", [asset("a", "db.crm.people")], "a"),
    "another case": ("CRM.People", [asset("a", "DB.crm.PEOPLE")], "a"),
    "quotes": ("crm.people", [asset("a", '"db"."crm"."people"')], "a"),
    "another schema": ("crm.people", [asset("a", "db.raw.people")], "snowflake/crm/people"),
    "another database": ("x.crm.people", [asset("a", "db.crm.people")], "snowflake/x/crm/people"),
    "the better of two matches": (
        "db.crm.people",
        [asset("a", "crm.people"), asset("b", "db.crm.people")],
        "b",
    ),
    "two equal matches": (
        "crm.people",
        [asset("a", "db1.crm.people"), asset("b", "db2.crm.people")],
        "snowflake/crm/people",
    ),
    "two equal matches, one in the warehouse's storage": (
        "crm.people",
        [asset("a", "db1.crm.people", "duckdb"), asset("b", "db2.crm.people", "snowflake")],
        "b",
    ),
    "key of schema and name": ("crm.people", [asset("crm/people")], "crm/people"),
    "key with a prefix": ("crm.people", [asset("dbt/crm/people")], "dbt/crm/people"),
    "key of the name": ("crm.people", [asset("people")], "people"),
    "key of the name with a prefix": (
        "crm.people",
        [asset("dbt/people")],
        "snowflake/crm/people",
    ),
    "no schema, key with a prefix": ("people", [asset("dbt/people")], "dbt/people"),
    "key of another schema": ("crm.people", [asset("raw/people")], "snowflake/crm/people"),
    "the longer of two keys": (
        "crm.people",
        [asset("people"), asset("x/crm/people")],
        "x/crm/people",
    ),
    "the exact key of two": (
        "crm.people",
        [asset("x/crm/people"), asset("crm/people")],
        "crm/people",
    ),
    "metadata of another table, key of the table": (
        "crm.people",
        [asset("crm/people", "raw.people")],
        "snowflake/crm/people",
    ),
    "metadata before keys": (
        "crm.people",
        [asset("crm/people"), asset("a", "db.crm.people")],
        "a",
    ),
    "name without a schema": ("people", [asset("a", "db.crm.people")], "a"),
    "no asset": ("crm.people", [], "snowflake/crm/people"),
}


@pytest.mark.parametrize(("name", "assets", "key"), MATCHES.values(), ids=MATCHES.keys())
def test_match(name: str, assets: Sequence[dg.AssetSpec], key: str) -> None:
    """The asset of a table is the one that matches best, or an external asset."""
    assert find(name, *assets) == key


def test_match__storage_in_another_case() -> None:
    """The storage kind is compared with the warehouse without regard to case."""
    assets = [asset("a", "db1.crm.people", "duckdb"), asset("b", "db2.crm.people", "snowflake")]

    assert find(table("crm.people", "Snowflake"), *assets) == "b"


def test_match__no_storage() -> None:
    """For a source without a warehouse, an asset without a storage kind is not a better match."""
    assets = [asset("a", "db1.crm.people", "snowflake"), asset("b", "db2.crm.people")]

    assert find(table("crm.people", None), *assets) == "warehouse/crm/people"


def test_assets__all_types() -> None:
    """Definitions, specs, source assets, lists of them and whole `Definitions` are searched."""

    @dg.asset(key=["crm", "a"])
    def defined() -> None: ...

    with pytest.deprecated_call():
        old = dg.SourceAsset(["crm", "f"])
    whole = dg.Definitions(assets=[asset("crm/b"), dg.AssetsDefinition(specs=[asset("crm/c")])])
    assets = [defined, whole, [asset("crm/d"), [asset("crm/e")]], old]

    for name in "abcdef":
        finder = UpstreamFinder(assets, None, LOG)  # type: ignore[arg-type]
        assert finder.find(table(f"crm.{name}")).spec is not None, name


def test_assets__without_a_list() -> None:
    """A definition, a spec or `Definitions` can be given without a list."""

    @dg.asset(key=["crm", "people"])
    def defined() -> None: ...

    for assets in (defined, asset("crm/people"), dg.Definitions(assets=[defined])):
        assert UpstreamFinder(assets, None, LOG).find(table("crm.people")).spec is not None


@pytest.mark.parametrize(
    "wrong", ["people", dg.AssetKey("people"), None], ids=["name", "key", "None"]
)
def test_assets__wrong_type(wrong: object) -> None:
    """The error for something that is not an asset suggests upstream_keys."""
    with pytest.raises(InvalidSettingError, match=r"upstream_assets .*upstream_keys"):
        find("crm.people", asset("crm/people"), wrong)


def test_assets__dependencies() -> None:
    """An asset that is only a dependency of another asset is found."""
    dep = dg.AssetDep(["shop", "raw_people"], metadata={"dagster/table_name": "db.raw.people"})

    assert find("raw.people", dg.AssetSpec("staged", deps=[dep])) == "shop/raw_people"


def test_ambiguous_table(caplog: pytest.LogCaptureFixture) -> None:
    """A table that matches several assets causes one warning, which says how to choose one."""
    assets = [asset("a", "db1.crm.people"), asset("b", "db2.crm.people")]
    finder = UpstreamFinder(assets, None, LOG)

    with caplog.at_level(logging.WARNING):
        finder.warn_of_uncertain([finder.find(table("crm.people"))])
        finder.warn_of_uncertain([finder.find(table("crm.people"))])

    (warning,) = caplog.messages
    assert "'a', 'b'" in warning
    assert "upstream_keys: {'snowflake/crm/people': …}" in warning


def test_keys__external_key() -> None:
    """The key of a table's external asset names the table in this warehouse only."""
    keys = {"postgres/crm/people": "app_people"}

    assert find(table("crm.people", "postgres"), keys=keys) == "app_people"
    assert find(table("crm.people", "snowflake"), keys=keys) == "snowflake/crm/people"


def test_keys__unused(caplog: pytest.LogCaptureFixture) -> None:
    """A name in upstream_keys that is the name of no table gives a warning."""
    keys = {"crm.people": "people", "crm.poeple": "people", "mysql/crm/people": None}
    finder = UpstreamFinder((), keys, LOG)
    finder.find(table("crm.people"))

    with caplog.at_level(logging.WARNING):
        finder.warn_of_unused()

    (warning,) = caplog.messages
    assert "no selected connection reads 'crm.poeple', 'mysql/crm/people'." in warning
    assert "Did you mean 'crm.people'?" in warning


def test_function__fails() -> None:
    """The error for a function that fails names it and the table."""

    def by_schema(_table: UpstreamTable, _keys: Sequence[dg.AssetKey]) -> str:
        raise KeyError("crm")

    with pytest.raises(InvalidSettingError, match="The function upstream_keys failed for table"):
        UpstreamFinder((), by_schema, LOG).find(table("crm.people"))


def test_connections() -> None:
    """A table is neither matched to a connection nor given the key of a connection."""
    report = dg.AssetSpec("report", deps=[["crm", "people"]])

    def find_without(*connections: str) -> dg.AssetKey | None:
        keys = {dg.AssetKey.from_user_string(key) for key in connections}
        return UpstreamFinder([report], None, LOG, keys).find(table("people")).key

    assert find_without() == dg.AssetKey(["crm", "people"])
    assert find_without("crm/people") == dg.AssetKey(["snowflake", "people"])
    taken = ("crm/people", "snowflake/people")
    assert find_without(*taken) == dg.AssetKey(["external", "snowflake", "people"])


def test_connections__of_other_definitions() -> None:
    """The asset of a connection that is defined elsewhere is not matched to a table either."""
    other = build_rudderstack_sync_asset(connection_id="c", spec=["crm", "people"])

    assert find("crm.people", other) == "snowflake/crm/people"
    assert find("crm.people", other, keys={"people": "crm/people"}) == "crm/people"


CHOICES = {
    "key": ({"crm.people": "shop/people"}, "shop/people"),
    "name in another case": ({"CRM.People": ["shop", "people"]}, "shop/people"),
    "name without a schema": ({"people": dg.AssetKey("people")}, "people"),
    "table left out": ({"crm.people": None}, None),
    "the best of several names": (
        {"people": "no", "crm.people": "yes", "x.crm.people": "no"},
        "yes",
    ),
    "two names with the same key": ({"x.crm.people": "yes", "y.crm.people": "yes"}, "yes"),
    "another table": ({"raw.people": "no"}, "a"),
    "function": (lambda _table, _candidates: "shop/people", "shop/people"),
    "function that returns None": (lambda _table, _candidates: None, "a"),
    "function of the candidates": (lambda _table, candidates: candidates[0], "a"),
}


@pytest.mark.parametrize(("keys", "key"), CHOICES.values(), ids=CHOICES.keys())
def test_keys(keys: object, key: str | None) -> None:
    """The user's choice takes precedence over the rules."""
    assert find("crm.people", asset("a", "db.crm.people"), keys=keys) == key


WRONG_KEYS: dict[str, tuple[object, str]] = {
    "list": (["crm.people"], "upstream_keys takes a mapping .*, not \\['crm.people'\\]"),
    "name": ("crm.people", "upstream_keys takes a mapping .*, not 'crm.people'"),
    "number for a table": ({1: "people"}, "upstream_keys takes a mapping"),
    "number for a key": ({"crm.people": 5}, "upstream_keys: 'crm.people' is 5, not the key"),
    "spec for a key": ({"crm.people": dg.AssetSpec("people")}, "is an AssetSpec, not the key"),
    "empty key": ({"crm.people": ""}, "upstream_keys: 'crm.people' is '', not the key"),
    "key without parts": ({"crm.people": []}, "upstream_keys: 'crm.people' is \\[\\], not"),
    "function that returns a number": (
        lambda *_: 5,
        "what it returned for table crm.people is 5, not",
    ),
}


@pytest.mark.parametrize(("keys", "words"), WRONG_KEYS.values(), ids=WRONG_KEYS.keys())
def test_keys__wrong_type(keys: object, words: str) -> None:
    """A wrong mapping or key is refused. The error for a key names the table."""
    with pytest.raises(InvalidSettingError, match=words):
        find("crm.people", keys=keys)


def test_keys__equal_matches() -> None:
    """Two names that match a table equally well but have different keys are an error."""
    keys = {"prod.crm.people": "prod", "dev.crm.people": "dev"}

    with pytest.raises(InvalidSettingError) as caught:
        find("crm.people", keys=keys)

    assert "'prod.crm.people' and 'dev.crm.people' match table crm.people" in caught.value.message
    assert "{'crm.people': …}" in caught.value.message
    assert find("prod.crm.people", keys=keys) == "prod"


def test_keys__exact_name() -> None:
    """The table's own name takes precedence over longer names."""
    assert find("people", keys={"people": "exact", "raw.people": "raw"}) == "exact"


def source(**config: object) -> Source:
    return Source.model_validate(
        {
            "id": "s",
            "name": "S",
            "sourceType": "table",
            "sourceDefinitionName": "s3" if "bucketName" in config else "snowflake",
            "config": config,
        }
    )


TABLES = {
    "table": ({"schema": "CRM", "table": "People"}, "CRM.People"),
    "table without a schema": ({"table": "people"}, "people"),
    "files": ({"bucketName": "lake", "objectPrefix": "/crm/people/"}, "s3://lake/crm/people"),
    "bucket": ({"bucketName": "lake"}, "s3://lake"),
}


@pytest.mark.parametrize(("config", "name"), TABLES.values(), ids=TABLES.keys())
def test_tables_of_source(config: dict[str, object], name: str) -> None:
    """A source reads the table or the files that its config names."""
    assert [str(each) for each in tables_of(source(**config), None)] == [name]


@pytest.mark.parametrize("config", [{}, {"table": ""}, {"table": 3}, {"schema": "crm"}])
def test_tables_of_source__none(config: dict[str, object]) -> None:
    """A source without the name of a table, such as an audience, has no tables."""
    assert tables_of(source(**config), None) == ()


def test_tables_of_query() -> None:
    """A SQL model reads the tables of its query."""
    query = QueryLineage(tables=(TableName(name="people", schema_name="crm"),))

    assert [str(each) for each in tables_of(source(), query)] == ["crm.people"]


def test_match__files() -> None:
    """Files are matched by the `dagster/uri` of an asset, or else by its key."""
    (files,) = tables_of(source(bucketName="lake", objectPrefix="crm/people"), None)
    by_uri = dg.AssetSpec("exports", metadata={"dagster/uri": "s3://lake/crm/people/"})

    assert find(files, by_uri) == "exports"
    assert find(files, asset("lake/crm/people")) == "lake/crm/people"
    assert find(files) == "s3/lake/crm/people"


def column_of(spec: dg.AssetSpec, name: str) -> dg.TableColumn:
    return Upstream(table("crm.people"), spec.key, spec).column(name)


def test_column() -> None:
    """A column has the spelling and the type in the asset's column schema."""
    schema = dg.TableSchema(columns=[dg.TableColumn("Email", "varchar")])
    spec = dg.AssetSpec("a", metadata={"dagster/column_schema": schema})

    assert column_of(spec, "EMAIL") == dg.TableColumn("Email", "varchar")
    assert column_of(spec, "PHONE") == dg.TableColumn("PHONE", "unknown")


def test_column__dbt() -> None:
    """A column of a dbt model is in lower case, as dagster-dbt writes it."""
    assert column_of(dg.AssetSpec("a", kinds={"dbt"}), "EMAIL").name == "email"
