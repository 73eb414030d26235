"""Names that differ only by case: the one with the same spelling comes first."""

import logging

import dagster as dg
import pytest

from dagster_rudderstack import InvalidSettingError, Upstream
from dagster_rudderstack.discovery.upstream import UpstreamFinder
from dagster_rudderstack_tests.discovery.test_external import table

LOG = logging.getLogger("test-spelling")

QUOTED = dg.AssetSpec("quoted", metadata={"dagster/table_name": 'db.crm."People"'})
LOWER = dg.AssetSpec("lower", metadata={"dagster/table_name": "db.crm.people"})
UPPER = dg.AssetSpec("upper", metadata={"dagster/table_name": "DB.CRM.PEOPLE"})


def key(*assets: dg.AssetSpec, name: str, exact: str | None = None) -> str:
    """Return the key of the table with a name in the schema `crm`."""
    parts = ("crm", exact) if exact else None
    finder = UpstreamFinder(assets, None, LOG)
    found = finder.find(table("crm", name, warehouse="mysql", exact=parts)).key
    assert found
    return found.to_user_string()


def test_table__spelling() -> None:
    """Of assets that differ only by case, the one with the same spelling is the table."""
    assert key(QUOTED, LOWER, name="people") == "lower"
    assert key(QUOTED, LOWER, name="People") == "quoted"


def test_table__spelling_in_the_warehouse() -> None:
    """A name without quotes is compared as the warehouse spells it."""
    assert key(QUOTED, LOWER, name="People", exact="people") == "lower"


def test_table__other_spelling() -> None:
    """An asset that differs by case is the table if none has the same spelling."""
    assert key(UPPER, name="people") == "upper"
    assert key(UPPER, LOWER, name="People").startswith("mysql/crm/people_")


def test_table__more_parts() -> None:
    """A match of more parts comes before one with the same spelling."""
    short = dg.AssetSpec("short", metadata={"dagster/table_name": "people"})

    assert key(short, UPPER, name="people") == "upper"


def test_keys__spelling() -> None:
    """Two names in upstream_keys that differ only by case are two tables."""
    finder = UpstreamFinder([], {"crm.people": "lower", "crm.People": "quoted"}, LOG)

    assert finder.find(table("crm", "People")).key == dg.AssetKey("quoted")
    assert finder.find(table("crm", "people")).key == dg.AssetKey("lower")
    with pytest.raises(InvalidSettingError, match=r"match table crm\.PEOPLE equally well"):
        finder.find(table("crm", "PEOPLE"))


def column(name: str, *names: str) -> str:
    """Return how a column of a table with these columns is spelled."""
    schema = dg.TableSchema(columns=[dg.TableColumn(each) for each in names])
    spec = dg.AssetSpec("a", metadata={"dagster/column_schema": schema})
    return Upstream(table("people"), spec.key, spec).column(name).name


def test_column() -> None:
    """A column has the same spelling, or else that of the only one that differs by case."""
    assert column("Email", "email", "Email") == "Email"
    assert column("EMAIL", "email") == "email"
    assert column("EMAIL", "email", "Email") == "EMAIL"
    assert column("phone", "email") == "phone"
