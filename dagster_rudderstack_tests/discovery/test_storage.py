"""An asset that is stored in another warehouse is not the table of a source."""

import logging
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack.discovery.upstream import UpstreamFinder
from dagster_rudderstack_tests.discovery.test_external import files, table

LOG = logging.getLogger("test-storage")


def people(key: str = "lake/people", **fields: Any) -> dg.AssetSpec:
    """Return an asset of the table `crm.people`, with tags, kinds or metadata."""
    metadata = {"dagster/table_name": "db.crm.people", **fields.pop("metadata", {})}
    return dg.AssetSpec(dg.AssetKey.from_user_string(key), metadata=metadata, **fields)


def stored_in(kind: str) -> dg.AssetSpec:
    """Return an asset of the table `crm.people` with a storage kind."""
    return people(metadata={"dagster/storage_kind": kind})


def matches(warehouse: str | None, *assets: dg.AssetSpec) -> bool:
    """Whether the table `crm.people` of a warehouse is the asset `lake/people`."""
    found = UpstreamFinder(assets, None, LOG).find(table("crm", "people", warehouse=warehouse))
    return found.key == dg.AssetKey(["lake", "people"])


WAREHOUSES = (
    *("bigquery", "clickhouse", "databricks", "mysql", "postgres", "redshift", "s3", "sftp"),
    *("snowflake", "trino"),
)


@pytest.mark.parametrize("storage", WAREHOUSES)
def test_storage(storage: str) -> None:
    """An asset matches the tables of its own warehouse, and of a query engine, but no others."""
    assert {each for each in WAREHOUSES if matches(each, stored_in(storage))} == {storage, "trino"}


@pytest.mark.parametrize("storage", ["duckdb", "iceberg", "delta", "motherduck", "files"])
def test_storage__no_warehouse(storage: str) -> None:
    """A storage that RudderStack does not read may stand for any warehouse."""
    assert all(matches(each, stored_in(storage)) for each in WAREHOUSES)


SYNONYMS = [
    *(
        ("postgres", "PostgreSQL"),
        ("bigquery", "Google BigQuery"),
        ("databricks", "databricks_sql"),
    ),
    *(("redshift", "amazon-redshift"), ("PostgreSQL", "postgres")),
]


@pytest.mark.parametrize(("warehouse", "storage"), SYNONYMS)
def test_storage__other_name(warehouse: str, storage: str) -> None:
    """A warehouse has other names."""
    assert matches(warehouse, stored_in(storage))


def test_storage__unknown() -> None:
    """An asset without a storage matches, and so does any asset if the source has no warehouse."""
    assert matches("postgres", people())
    assert matches(None, stored_in("snowflake"))


PLACES: dict[str, tuple[dict[str, Any], bool]] = {
    "metadata": ({"metadata": {"dagster/storage_kind": "snowflake"}}, False),
    "tag": ({"tags": {"dagster/storage_kind": "snowflake"}}, False),
    "kinds of dbt": ({"kinds": {"dbt", "snowflake"}}, False),
    "kinds of Airbyte": ({"kinds": {"airbyte", "snowflake"}}, False),
    "kinds of an own asset": ({"kinds": {"python", "snowflake"}}, False),
    "kinds of Fivetran": ({"kinds": {"fivetran", "snowflake"}}, True),
    "two warehouses": ({"kinds": {"snowflake", "mysql"}}, True),
    "no warehouse": ({"kinds": {"dbt", "duckdb"}}, True),
    "metadata before kinds": (
        {"metadata": {"dagster/storage_kind": "postgres"}, "kinds": {"dbt", "snowflake"}},
        True,
    ),
}


@pytest.mark.parametrize(("fields", "is_match"), PLACES.values(), ids=PLACES.keys())
def test_storage__where_it_is_named(fields: dict[str, Any], is_match: bool) -> None:
    """The storage is in the metadata or a tag, or in kinds that say where an asset is stored."""
    assert matches("postgres", people(**fields)) is is_match


def test_storage__other_match() -> None:
    """An asset in another warehouse does not hide one that matches by its key."""
    by_key = dg.AssetSpec(["lake", "people"])
    elsewhere = people("copy/people", kinds={"snowflake"})

    found = UpstreamFinder([elsewhere, by_key], None, LOG).find(table("people"))

    assert found.key == by_key.key


def test_storage__files() -> None:
    """Files are found by their address, whatever has stored them."""
    exports = dg.AssetSpec(
        ["lake", "people"],
        metadata={"dagster/uri": "s3://lake/people", "dagster/storage_kind": "snowflake"},
    )

    assert UpstreamFinder([exports], None, LOG).find(files("lake", "people")).key == exports.key


def test_storage__warning(caplog: pytest.LogCaptureFixture) -> None:
    """If an asset was left out because of its storage, one warning says what to do."""
    finder = UpstreamFinder([stored_in("snowflake")], None, LOG)

    with caplog.at_level(logging.WARNING):
        finder.warn_of_uncertain([finder.find(table("crm", "people"))])
        finder.warn_of_uncertain([finder.find(table("crm", "people"))])

    (warning,) = caplog.messages
    assert warning == (
        "Table crm.people is read from postgres, not from 'lake/people', which is stored in "
        "snowflake, so it is shown as the external asset 'postgres/crm/people'. Name its asset "
        "with upstream_keys: {'postgres/crm/people': …}."
    )


def test_storage__chosen(caplog: pytest.LogCaptureFixture) -> None:
    """The user may choose an asset in another warehouse, without a warning."""
    keys = {"crm.people": "lake/people"}
    finder = UpstreamFinder([stored_in("snowflake")], keys, LOG)
    found = finder.find(table("crm", "people"))

    finder.warn_of_uncertain([found])

    assert found.key == dg.AssetKey(["lake", "people"])
    assert caplog.messages == []
