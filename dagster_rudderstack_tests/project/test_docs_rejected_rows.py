"""The page on rejected rows: its SQL is the library's, and its check works."""

import re
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource

from dagster_rudderstack import RudderStackResource, SyncError, SyncReport
from dagster_rudderstack.metadata import MetadataKey
from dagster_rudderstack.sync.failed_rows import failed_rows_sql
from dagster_rudderstack.testing import LocalRudderStack, TableSync

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "rejected-rows.md"


def block(language: str) -> str:
    """Return the only example of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(found)


def test_sql() -> None:
    """The SQL is that of a mirror sync from Snowflake."""
    sql = failed_rows_sql("2hkeBOp0", "9mEzxkT2", warehouse="snowflake", snapshot_key="CUSTOMER_ID")

    assert block("sql") == f"{sql}\n"


def test_check(
    server: LocalRudderStack,
    rudderstack: RudderStackResource,
    instance: dg.DagsterInstance,
    tmp_path: Path,
) -> None:
    """The check lists the most frequent reasons."""
    warehouse = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute(
            "CREATE TABLE users AS SELECT range AS id, CASE range % 4 WHEN 0 THEN NULL WHEN 1 THEN"
            " '?' ELSE 'a@b' END AS email FROM range(9)"
        )
    table = TableSync(
        warehouse,
        "users",
        destination=tmp_path / "crm.duckdb",
        required=("email",),
        patterns={"email": ".+@.+"},
    )
    server.add_connection("2hkeBOp0lGJpMPyur0oXUxxIDhw", table=table)
    names: dict[str, Any] = {"__name__": "example"}
    exec(block("python"), names)  # noqa: S102 - our own page

    result = dg.materialize(
        [names["crm_contacts"], names["rejection_reasons"]],
        instance=instance,
        resources={
            "rudderstack": rudderstack,
            "warehouse": DuckDBResource(database=str(warehouse)),
        },
    )

    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert checks["rejection_reasons"].metadata["top_reasons"].value == (
        "| Reason | Rows |\n|---|---|\n"
        '| The field "email" is required | 3 |\n'
        '| The field "email" has an invalid value | 2 |'
    )


def test_names() -> None:
    """The names in the text exist."""
    text = PAGE.read_text()

    assert f"`{MetadataKey.FAILED_ROWS_SQL}`" in text
    assert {"failed_rows_sql", "failed_rows_note"} <= SyncReport.model_fields.keys()
    assert SyncError("", connection_id="crm").failed_rows_note is None
