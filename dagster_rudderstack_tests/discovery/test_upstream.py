"""Which asset a table is: a table of cases, and what the user says instead."""

import logging
from collections.abc import Sequence

import dagster as dg
import pytest

from dagster_rudderstack import InvalidSettingError, Upstream, UpstreamTable
from dagster_rudderstack.api.models import Source
from dagster_rudderstack.discovery.sql.lineage import QueryLineage, TableName
from dagster_rudderstack.discovery.tables import tables_of
from dagster_rudderstack.discovery.upstream import UpstreamFinder

LOG = logging.getLogger("test-upstream")


def table(name: str, warehouse: str | None = "snowflake") -> UpstreamTable:
    """Return the table that a source calls so."""
    *schema, last = name.split(".")
    catalog = schema[0] if len(schema) > 1 else None
    return UpstreamTable(
        TableName(name=last, schema_name=schema[-1] if schema else None, catalog=catalog), warehouse
    )


def asset(key: str, table_name: str | None = None, kind: str | None = None) -> dg.AssetSpec:
    """Return an asset that tells its table and storage, or does not."""
    metadata = {"dagster/table_name": table_name, "dagster/storage_kind": kind}
    return dg.AssetSpec(
        dg.AssetKey.from_user_string(key),
        metadata={name: value for name, value in metadata.items() if value},
    )


def find(name: str | UpstreamTable, *assets: object, keys: object = None) -> str | None:
    """Return the key of the asset that a table is."""
    finder = UpstreamFinder(assets, keys, LOG)  # type: ignore[arg-type]
    key = finder.find(table(name) if isinstance(name, str) else name).key
    return key.to_user_string() if key else None


MATCHES = {
    "by its full name": ("db.crm.people", [asset("a", "db.crm.people")], "a"),
    "by schema and name": ("crm.people", [asset("a", "db.crm.people")], "a"),
    "in any case": ("CRM.People", [asset("a", "DB.crm.PEOPLE")], "a"),
    "quoted": ("crm.people", [asset("a", '"db"."crm"."people"')], "a"),
    "not in another schema": ("crm.people", [asset("a", "db.raw.people")], "crm/people"),
    "not in another database": ("x.crm.people", [asset("a", "db.crm.people")], "x/crm/people"),
    "the better of two": (
        "db.crm.people",
        [asset("a", "crm.people"), asset("b", "db.crm.people")],
        "b",
    ),
    "none of two equal ones": (
        "crm.people",
        [asset("a", "db1.crm.people"), asset("b", "db2.crm.people")],
        "crm/people",
    ),
    "the one in the warehouse's own storage": (
        "crm.people",
        [asset("a", "db1.crm.people", "duckdb"), asset("b", "db2.crm.people", "snowflake")],
        "b",
    ),
    "by a key of schema and name": ("crm.people", [asset("crm/people")], "crm/people"),
    "by a key with a prefix": ("crm.people", [asset("dbt/crm/people")], "dbt/crm/people"),
    "by a key that is its name": ("crm.people", [asset("people")], "people"),
    "not by a key that is its name behind a prefix": (
        "crm.people",
        [asset("dbt/people")],
        "crm/people",
    ),
    "without a schema, by a key with a prefix": ("people", [asset("dbt/people")], "dbt/people"),
    "not by a key of another schema": ("crm.people", [asset("raw/people")], "crm/people"),
    "the better of two keys": (
        "crm.people",
        [asset("people"), asset("x/crm/people")],
        "x/crm/people",
    ),
    "the exact one of two": (
        "crm.people",
        [asset("x/crm/people"), asset("crm/people")],
        "crm/people",
    ),
    "by the table that an asset tells, not by its key": (
        "crm.people",
        [asset("crm/people", "raw.people")],
        "snowflake/crm/people",
    ),
    "by a table before any key": (
        "crm.people",
        [asset("crm/people"), asset("a", "db.crm.people")],
        "a",
    ),
    "by its name alone": ("people", [asset("a", "db.crm.people")], "a"),
    "of no asset": ("crm.people", [], "crm/people"),
    "of no asset, with odd letters": ("crm.my people$", [], "crm/my_people_"),
    "of no asset, in another alphabet": ("crm.顧客", [], "crm/40b3e4"),
    "of no asset, in lower case": ("PROD.Crm.People", [], "prod/crm/people"),
}


@pytest.mark.parametrize(("name", "assets", "key"), MATCHES.values(), ids=MATCHES.keys())
def test_match(name: str, assets: Sequence[dg.AssetSpec], key: str) -> None:
    """A table is the asset that matches it best, or one of its own outside of Dagster."""
    assert find(name, *assets) == key


def test_storage_in_any_case() -> None:
    """The warehouse's own storage is told from others without regard to case."""
    assets = [asset("a", "db1.crm.people", "duckdb"), asset("b", "db2.crm.people", "snowflake")]

    assert find(table("crm.people", "Snowflake"), *assets) == "b"


def test_no_storage_is_nobodys() -> None:
    """Of a source that names no warehouse, an asset that names no storage is no better match."""
    assets = [asset("a", "db1.crm.people", "snowflake"), asset("b", "db2.crm.people")]

    assert find(table("crm.people", None), *assets) == "crm/people"


def test_every_kind_of_definition_is_searched() -> None:
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


def test_one_definition_without_a_list() -> None:
    """A definition, a spec or `Definitions` may stand without a list."""

    @dg.asset(key=["crm", "people"])
    def defined() -> None: ...

    for assets in (defined, asset("crm/people"), dg.Definitions(assets=[defined])):
        assert UpstreamFinder(assets, None, LOG).find(table("crm.people")).spec is not None


@pytest.mark.parametrize(
    "mistake", ["people", dg.AssetKey("people"), None], ids=["name", "key", "nothing"]
)
def test_what_is_no_asset(mistake: object) -> None:
    """What is no asset is refused, with the way to name an asset by its key."""
    with pytest.raises(InvalidSettingError, match=r"upstream_assets .*upstream_keys"):
        find("crm.people", asset("crm/people"), mistake)


def test_tables_that_assets_depend_on_are_searched() -> None:
    """A source of another tool, known only as a dependency, is found as well."""
    dep = dg.AssetDep(["shop", "raw_people"], metadata={"dagster/table_name": "db.raw.people"})

    assert find("raw.people", dg.AssetSpec("staged", deps=[dep])) == "shop/raw_people"


def test_ambiguous_table_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """A table that may be one of several assets is told once, with the way to say which it is."""
    assets = [asset("a", "db1.crm.people"), asset("b", "db2.crm.people")]
    finder = UpstreamFinder(assets, None, LOG)

    with caplog.at_level(logging.WARNING):
        finder.warn_of_ambiguous([finder.find(table("crm.people"))])
        finder.warn_of_ambiguous([finder.find(table("crm.people"))])

    (told,) = caplog.messages
    assert "'a', 'b'" in told
    assert "upstream_keys: {'crm.people': …}" in told


def test_connections_are_no_tables() -> None:
    """A key of the connections themselves is never a table, nor the key of one that is no asset."""
    report = dg.AssetSpec("report", deps=[["crm", "people"]])

    def find_beside(*downstream: str) -> dg.AssetKey | None:
        keys = {dg.AssetKey.from_user_string(key) for key in downstream}
        return UpstreamFinder([report], None, LOG, keys).find(table("people")).key

    assert find_beside() == dg.AssetKey(["crm", "people"])
    assert find_beside("crm/people") == dg.AssetKey(["people"])
    assert find_beside("crm/people", "people") == dg.AssetKey(["snowflake", "people"])


SAID = {
    "which asset": ({"crm.people": "shop/people"}, "shop/people"),
    "in another case": ({"CRM.People": ["shop", "people"]}, "shop/people"),
    "by its name alone": ({"people": dg.AssetKey("people")}, "people"),
    "that it is left out": ({"crm.people": None}, None),
    "more exactly": ({"people": "no", "crm.people": "yes", "x.crm.people": "no"}, "yes"),
    "the same twice": ({"x.crm.people": "yes", "y.crm.people": "yes"}, "yes"),
    "of another table": ({"raw.people": "no"}, "a"),
    "of the asset by a function": (lambda _table, _candidates: "shop/people", "shop/people"),
    "nothing, by a function": (lambda _table, _candidates: None, "a"),
    "by a function of the candidates": (lambda _table, candidates: candidates[0], "a"),
}


@pytest.mark.parametrize(("keys", "key"), SAID.values(), ids=SAID.keys())
def test_user_says(keys: object, key: str | None) -> None:
    """What the user says of a table goes before all rules."""
    assert find("crm.people", asset("a", "db.crm.people"), keys=keys) == key


MISTAKEN: dict[str, tuple[object, str]] = {
    "a list": (["crm.people"], "upstream_keys takes a mapping .*, not \\['crm.people'\\]"),
    "a name": ("crm.people", "upstream_keys takes a mapping .*, not 'crm.people'"),
    "a number for a table": ({1: "people"}, "upstream_keys takes a mapping"),
    "a number for a key": ({"crm.people": 5}, "upstream_keys: 'crm.people' is 5, not the key"),
    "no key": ({"crm.people": ""}, "upstream_keys: 'crm.people' is '', not the key"),
    "a key without parts": ({"crm.people": []}, "upstream_keys: 'crm.people' is \\[\\], not"),
    "a function of numbers": (lambda *_: 5, "what it returned for table crm.people is 5, not"),
}


@pytest.mark.parametrize(("keys", "words"), MISTAKEN.values(), ids=MISTAKEN.keys())
def test_user_says_what_is_no_key(keys: object, words: str) -> None:
    """What is no mapping, no function and no key is refused, with the table."""
    with pytest.raises(InvalidSettingError, match=words):
        find("crm.people", keys=keys)


def test_user_says_two_things() -> None:
    """Of two names that fit a table equally well none wins: the user is asked."""
    keys = {"prod.crm.people": "prod", "dev.crm.people": "dev"}

    with pytest.raises(InvalidSettingError) as caught:
        find("crm.people", keys=keys)

    assert "'prod.crm.people' and 'dev.crm.people' match table crm.people" in caught.value.message
    assert "{'crm.people': …}" in caught.value.message
    assert find("prod.crm.people", keys=keys) == "prod"


def test_user_says_more_of_a_longer_name() -> None:
    """What is said of a table's own name goes before what is said of longer ones."""
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
def test_source_that_names_nothing(config: dict[str, object]) -> None:
    """A source that names no table, as an audience, has none."""
    assert tables_of(source(**config), None) == ()


def test_tables_of_query() -> None:
    """A SQL model reads the tables of its query."""
    query = QueryLineage(tables=(TableName(name="people", schema_name="crm"),))

    assert [str(each) for each in tables_of(source(), query)] == ["crm.people"]


def test_files_by_uri() -> None:
    """Files are matched by the address that an asset tells, and else by its key."""
    (files,) = tables_of(source(bucketName="lake", objectPrefix="crm/people"), None)
    told = dg.AssetSpec("exports", metadata={"dagster/uri": "s3://lake/crm/people/"})

    assert find(files, told) == "exports"
    assert find(files, asset("lake/crm/people")) == "lake/crm/people"
    assert find(files) == "lake/crm/people"


def column_of(spec: dg.AssetSpec, name: str) -> dg.TableColumn:
    return Upstream(table("crm.people"), spec.key, spec).column(name)


def test_column_as_the_asset_tells_it() -> None:
    """A column has the spelling and the type of the asset's own schema."""
    schema = dg.TableSchema(columns=[dg.TableColumn("Email", "varchar")])
    told = dg.AssetSpec("a", metadata={"dagster/column_schema": schema})

    assert column_of(told, "EMAIL") == dg.TableColumn("Email", "varchar")
    assert column_of(told, "PHONE") == dg.TableColumn("PHONE", "unknown")


def test_column_of_dbt() -> None:
    """dagster-dbt writes names of columns in lower case, so lineage leads there in lower case."""
    assert column_of(dg.AssetSpec("a", kinds={"dbt"}), "EMAIL").name == "email"
