"""The keys of tables that are not known assets."""

import itertools

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_rudderstack import UpstreamTable
from dagster_rudderstack.discovery.external import external_key
from dagster_rudderstack.discovery.sql.lineage import TableName


def table(
    *parts: str, warehouse: str | None = "postgres", exact: tuple[str, ...] | None = None
) -> UpstreamTable:
    """Return a table with a name of one to three parts."""
    *schema, name = parts
    catalog = schema[0] if len(schema) > 1 else None
    schema_name = schema[-1] if schema else None
    name_of = TableName(name=name, schema_name=schema_name, catalog=catalog, exact=exact)
    return UpstreamTable(name_of, warehouse)


def files(bucket: str, prefix: str) -> UpstreamTable:
    """Return files in a bucket."""
    name = TableName(name=prefix, schema_name=bucket)
    return UpstreamTable(name, "s3", f"s3://{bucket}/{prefix}")


def key(one: UpstreamTable) -> str:
    """Return the key of a table."""
    return external_key(one).to_user_string()


KEYS = {
    "schema and name": (table("crm", "people"), "postgres/crm/people"),
    "catalog": (table("db", "crm", "people"), "postgres/db/crm/people"),
    "name alone": (table("people", warehouse="mysql"), "mysql/people"),
    "unknown warehouse": (table("people", warehouse=None), "warehouse/people"),
    "upper case of Snowflake": (
        table("CRM", "PEOPLE", warehouse="snowflake"),
        "snowflake/crm/people",
    ),
    "Snowflake, without regard to case": (
        table("crm", "people", warehouse="snowflake"),
        "snowflake/crm/people",
    ),
    "unquoted name": (
        table("Crm", "People", warehouse="snowflake", exact=("CRM", "PEOPLE")),
        "snowflake/crm/people",
    ),
    "quoted name": (table("crm", "People"), "postgres/crm/people_7db208"),
    "quoted name in a warehouse that ignores case": (
        table("CRM", "People", warehouse="redshift"),
        "redshift/crm/people",
    ),
    "special characters": (table("crm", "my people$"), "postgres/crm/my_people_5a3d86"),
    "accent": (table("crm", "café"), "postgres/crm/cafe_850f7d"),
    "another alphabet": (table("crm", "顧客"), "postgres/crm/40b3e4"),
    "files": (files("lake", "crm/people"), "s3/lake/crm/people"),
}


@pytest.mark.parametrize(("one", "expected"), KEYS.values(), ids=KEYS.keys())
def test_key(one: UpstreamTable, expected: str) -> None:
    """The key is the warehouse and the name in lower case, with digits if that loses something."""
    assert key(one) == expected


DIFFERENT = {
    "case": [table("crm", each) for each in ("people", "People", "PEOPLE")],
    "case in Snowflake": [
        table("P", warehouse="snowflake"),
        table("p", warehouse="snowflake", exact=("p",)),
    ],
    "characters": [
        table("crm", each) for each in ("my_people", "my people", "my$people", "my/people")
    ],
    "accents": [table("crm", each) for each in ("cafe", "café", "cafè")],
    "parts": [table("a", "b"), table("a.b"), table("a/b"), table("a_b")],
    "warehouses": [table("people", warehouse=each) for each in ("postgres", "mysql", None)],
    "folders": [files("lake", each) for each in ("a/b", "a//b", "a", "A", "a b/c", "a_b/c")],
}


@pytest.mark.parametrize("tables", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_key__different_tables(tables: list[UpstreamTable]) -> None:
    """Tables whose names differ only by case or by special characters have different keys."""
    assert len({external_key(each) for each in tables}) == len(tables)


def test_key__same_table() -> None:
    """Two spellings of one table have one key, with and without quotes."""
    exact = ("CRM", "MY PEOPLE")
    spellings = [
        table("CRM", "MY PEOPLE", warehouse="snowflake"),
        table("crm", "my people", warehouse="snowflake", exact=exact),
        table("Crm", "My People", warehouse="snowflake", exact=exact),
    ]

    assert len({external_key(each) for each in spellings}) == 1


def test_key__taken() -> None:
    """A key of another asset gets a prefix until it is free."""
    people = table("people", warehouse="mysql")
    first = external_key(people)
    second = external_key(people, {first})

    assert second == dg.AssetKey(["external", "mysql", "people"])
    assert external_key(people, {first, second}) == second.with_prefix("external")


NAMES = st.text(st.sampled_from('aAbB_ .-$/"é客'), min_size=1, max_size=4)


@given(st.lists(st.lists(NAMES, min_size=1, max_size=3).map(tuple), min_size=2, max_size=6))
def test_key__any_names(names: list[tuple[str, ...]]) -> None:
    """Whatever the names are, different tables have different keys of at least two parts."""
    keys = {each: external_key(table(*each)) for each in names}

    assert all(len(each.path) > 1 for each in keys.values())
    for one, other in itertools.combinations(keys, 2):
        assert keys[one] != keys[other], (one, other)
