"""The examples of `docs/guides/your-own-code.md` run, and do what the page says."""

import re
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from dagster_rudderstack import MetadataKey, RudderStackResource
from dagster_rudderstack.testing import LocalRudderStack

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "your-own-code.md").read_text()
CONTACTS, AUDIENCE = "2hkeBOp0lGJpMPyur0oXUxxIDhw", "2hkeBWdTkWWcBlbJyvsrqGdfGbe"


@pytest.fixture
def page(server: LocalRudderStack) -> dict[str, Any]:
    """The names that the Python of the page defines, block after block."""
    server.add_connection(CONTACTS)
    server.add_connection(AUDIENCE)
    names: dict[str, Any] = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "docs/guides/your-own-code.md", "exec"), names)  # noqa: S102 - our own page
    return names


def materialize(
    asset: dg.AssetsDefinition, rudderstack: RudderStackResource, **options: Any
) -> dg.ExecuteInProcessResult:
    resources = {"rudderstack": rudderstack, **options.pop("resources", {})}
    return dg.materialize([asset], resources=resources, **options)


def test_function(
    page: dict[str, Any], rudderstack: RudderStackResource, capsys: pytest.CaptureFixture[str]
) -> None:
    """The function has its resource, and its config beside that of the sync."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    run_config = yaml.safe_load(block)
    # The page polls once a minute.
    run_config["ops"]["crm_contacts"]["config"]["poll_interval_seconds"] = 0.05

    materialize(
        page["crm_contacts"],
        rudderstack,
        resources={"pager": page["Pager"](channel="#crm")},
        run_config=run_config,
    )

    assert "#crm: The CRM is up to date. after the migration" in capsys.readouterr().out
    assert page["crm_contacts"].specs_by_key[dg.AssetKey("crm_contacts")].description == (
        "Contacts of the CRM."
    )


@pytest.mark.parametrize(
    ("today", "sync_type"), [(date(2026, 11, 29), "full"), (date(2026, 11, 30), "incremental")]
)
def test_sundays(
    page: dict[str, Any],
    rudderstack: RudderStackResource,
    server: LocalRudderStack,
    today: date,
    sync_type: str,
) -> None:
    """On Sundays, the sync is full."""

    class Calendar:
        @staticmethod
        def today() -> date:
            return today

    page["date"] = Calendar

    materialize(page["weekly_contacts"], rudderstack)

    assert [sync.sync_type for sync in server.syncs(CONTACTS)] == [sync_type]


def test_subset(
    page: dict[str, Any], rudderstack: RudderStackResource, server: LocalRudderStack
) -> None:
    """Each call has its own options, and an asset that is not selected is left out."""
    materialize(page["activation"], rudderstack)
    materialize(page["activation"], rudderstack, selection=["hubspot_contacts"])

    assert [sync.sync_type for sync in server.syncs(CONTACTS)] == ["incremental", "incremental"]
    assert [sync.sync_type for sync in server.syncs(AUDIENCE)] == ["full"]


def test_results(
    page: dict[str, Any], rudderstack: RudderStackResource, server: LocalRudderStack
) -> None:
    """The materialization has the user's own metadata and those of the sync."""
    result = materialize(page["billed_contacts"], rudderstack)

    (event,) = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    rows = metadata[MetadataKey.ROWS_SUCCEEDED].value
    assert isinstance(rows, int)
    assert metadata["cost"].value == pytest.approx(rows * 0.002)
    assert len(result.get_asset_check_evaluations()) == 1


def test_run_config(
    page: dict[str, Any], rudderstack: RudderStackResource, server: LocalRudderStack
) -> None:
    """The run config in Python is that of a step."""
    materialize(page["weekly_contacts"], rudderstack, run_config=page["urgent"])

    assert [sync.sync_type for sync in server.syncs(CONTACTS)] == ["full"]


def test_op(page: dict[str, Any], rudderstack: RudderStackResource) -> None:
    """The op syncs both connections, and its output has their reports."""
    job: dg.JobDefinition = page["activate_all"]

    result = job.execute_in_process(resources={"rudderstack": rudderstack})

    reports = result.output_for_node("activate")
    assert set(reports) == {CONTACTS, AUDIENCE}
    assert result.output_for_node("count_rows") == sum(
        report.rows_succeeded for report in reports.values()
    )
