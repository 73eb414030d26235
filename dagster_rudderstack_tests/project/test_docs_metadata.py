"""The page on metadata: its example reads them."""

from datetime import datetime, timezone

import dagster as dg

from dagster_rudderstack import MetadataKey
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.project import pages

PAGE = pages.DOCS / "guides" / "metadata.md"


def test_metadata(documented: LocalRudderStack, instance: dg.DagsterInstance) -> None:
    """The example reads the connection of a definition, and the rows and the end of a sync."""
    example = pages.executed(pages.block("Read the metadata", "python", PAGE), PAGE)

    result = dg.materialize(
        [example["crm_contacts"], example["sync_report"]],
        instance=instance,
        resources={"rudderstack": pages.local(documented)},
    )

    assert example["connection_ids"] == {dg.AssetKey("crm_contacts"): pages.CONNECTION}
    (materialization,) = result.asset_materializations_for_node("crm_contacts")
    finished_at = materialization.metadata[MetadataKey.FINISHED_AT].value
    assert isinstance(finished_at, float)
    lines = [entry.user_message for entry in instance.all_logs(result.run_id)]
    end = datetime.fromtimestamp(finished_at, timezone.utc)
    assert f"3 rows were rejected until {end}." in lines
