"""The page on own assets, ops and notebooks: its examples run."""

import dagster as dg
import pytest
import yaml

from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.project import pages

PAGE = pages.DOCS / "guides" / "ops-and-notebooks.md"


def test_own_asset(documented: LocalRudderStack) -> None:
    """An asset of the user can run several syncs with the resource."""
    code = pages.block("Your own assets, ops and notebooks", "python", PAGE)
    example = pages.executed(code, PAGE)

    result = dg.materialize(
        [example["crm_and_ads"]], resources={"rudderstack": pages.local(documented)}
    )

    (materialization,) = result.asset_materializations_for_node("crm_and_ads")
    assert materialization.metadata["contacts"].value == 17
    assert [sync.sync_type for sync in documented.syncs(pages.SECOND_CONNECTION)] == ["full"]


def test_outside_dagster(documented: LocalRudderStack, capsys: pytest.CaptureFixture[str]) -> None:
    """The resource works outside Dagster, and the report has the rows."""
    local = f"(api_url={documented.url!r}, poll_min_interval_seconds=0.05, access_token="
    code = pages.block("Outside Dagster", "python", PAGE).replace("(access_token=", local)

    pages.executed(code, PAGE)

    assert capsys.readouterr().out == "succeeded 17 3\n"


def test_ops(documented: LocalRudderStack) -> None:
    """The job syncs the connection of its code, and that of its run config."""
    defs = pages.executed(pages.block("Jobs of ops", "python", PAGE), PAGE)["defs"]
    run_config = yaml.safe_load(pages.block("Jobs of ops", "yaml", PAGE))
    local = dg.Definitions(
        jobs=defs.jobs, resources={"rudderstack": pages.local(documented)}
    ).resolve_job_def("activate")

    assert local.execute_in_process(run_config=run_config).success
    for connection_id in (pages.CONNECTION, pages.SECOND_CONNECTION):
        assert len(documented.starts(connection_id)) == 1
