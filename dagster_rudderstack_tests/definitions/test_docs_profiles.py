"""The examples of `docs/guides/profiles-and-etl.md` run, and do what the page says."""

import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from dagster_rudderstack import RudderStackResource
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.definitions.source_runs import run_ids
from dagster_rudderstack_tests.step.world import materialized

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "profiles-and-etl.md").read_text()
CONNECTION = "2hkeBOp0lGJpMPyur0oXUxxIDhw"
PROJECT, STRIPE = "2hkfQ1bVxSgBbBmZCWGbnQmOs0D", "2hkfPqGZK0mYwUyXUSwHkqwMZ3g"
OTHER_SOURCE = "2hkfRk5YhTzWm3nQv8uXc1LdE0B"


@pytest.fixture
def page(server: LocalRudderStack) -> dict[str, Any]:
    """The names that the Python of the page defines, block after block."""
    server.add_connection(CONNECTION)
    for source in (PROJECT, STRIPE, OTHER_SOURCE):
        server.add_project(source)
    names: dict[str, Any] = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "docs/guides/profiles-and-etl.md", "exec"), names)  # noqa: S102 - our own page
    assert server.requests == []
    return names


def materialize(
    page: dict[str, Any], rudderstack: RudderStackResource, *names: str, **options: Any
) -> dg.ExecuteInProcessResult:
    assets = [page[name] for name in names]
    return dg.materialize(assets, resources={"rudderstack": rudderstack}, **options)


def test_chain(
    page: dict[str, Any], rudderstack: RudderStackResource, server: LocalRudderStack
) -> None:
    """One Dagster run builds the table, the features and then syncs them."""
    result = materialize(page, rudderstack, "customers", "features", "crm_contacts")

    assert materialized(result)[0] == "customers"
    assert materialized(result)[-1] == "crm_contacts"
    assert set(materialized(result)) >= {"user_features", "account_features"}
    assert len(server.runs(PROJECT)) == len(server.syncs(CONNECTION)) == 1
    dg.Definitions.validate_loadable(page["defs"])


def test_etl(page: dict[str, Any], rudderstack: RudderStackResource) -> None:
    """The assets of the ETL source are its tables."""
    result = materialize(page, rudderstack, "stripe")

    assert set(run_ids(result)) == {"stripe/customers", "stripe/charges"}


def test_partitions(
    page: dict[str, Any], rudderstack: RudderStackResource, server: LocalRudderStack
) -> None:
    """One run gets the window of all partitions of a backfill."""
    days = {"start": "2026-01-05", "end": "2026-01-07"}
    tags = {f"dagster/asset_partition_range_{side}": day for side, day in days.items()}

    materialize(page, rudderstack, "daily_features", tags=tags)

    (run,) = server.runs(PROJECT)
    assert run.parameters == (
        "--begin_time 2026-01-04T23:00:00Z",
        "--end_time 2026-01-07T23:00:00Z",
    )


def test_launchpad(
    page: dict[str, Any], rudderstack: RudderStackResource, server: LocalRudderStack
) -> None:
    """The run config in YAML and the one in Python are those of the step."""
    config = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0])

    materialize(page, rudderstack, "features", run_config=config)
    materialize(page, rudderstack, "features", run_config=page["rebuild"])

    assert [run.parameters for run in server.runs(PROJECT)] == [
        (
            "--model_refs models/user_features",
            "--begin_time 2026-01-01T00:00:00Z",
            "--rebase_incremental",
        ),
        ("--rebase_incremental",),
    ]


def test_ops(
    page: dict[str, Any], rudderstack: RudderStackResource, server: LocalRudderStack
) -> None:
    """The job loads both sources, then runs the project, and shows its report."""
    job: dg.JobDefinition = page["nightly"]

    result = job.execute_in_process(resources={"rudderstack": rudderstack})

    (run,) = server.runs(PROJECT)
    assert result.output_for_node("show").startswith(f"{run.id}: finished after ")
    assert set(result.output_for_node("load")) == {STRIPE, OTHER_SOURCE}
    (loaded,) = server.runs(STRIPE)
    assert loaded.finished_at is not None
    assert loaded.finished_at <= run.started_at
    assert run_ids(result) == {"user_features": run.id}
