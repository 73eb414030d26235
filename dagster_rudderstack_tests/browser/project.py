"""The code location whose pages the tests open."""

import dagster as dg

from dagster_rudderstack import (
    RejectedRowsCheck,
    RudderStackResource,
    SyncChecks,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
)

# As long as RudderStack's own ids, since a text must fit on the page with them.
CRM = "2hkeBOp0lGJpMPyur0oXUxxIDhw"
ADS = "2hkeBWdTkWWcBlbJyvsrqGdfGbe"
MAIL = "2hkeC9cRJzSGkGZcUuMS5c8qTXm"
SURVEY = "2hkeCMZbpfTcbVnb1ZZfTfSJ0nW"

DAYS = ("2026-03-01", "2026-03-02", "2026-03-03")

customers = dg.AssetSpec("customers", description="A table of the warehouse.")

crm_contacts = build_rudderstack_sync_asset(
    connection_id=CRM,
    spec=dg.AssetSpec("crm_contacts", deps=[customers]),
    sync_type="incremental",
    checks=SyncChecks(rejected_rows=RejectedRowsCheck(max_failed_rows=5)),
)

ad_audience = build_rudderstack_sync_asset(
    connection_id=ADS, spec=dg.AssetSpec("ad_audience", deps=[customers])
)

mail_by_day = build_rudderstack_sync_asset(
    connection_id=MAIL,
    spec=dg.AssetSpec("mail_by_day", deps=[customers]),
    partitions_def=dg.StaticPartitionsDefinition(DAYS),
)

survey = build_rudderstack_sync_asset(
    connection_id=SURVEY,
    spec=dg.AssetSpec("survey", deps=[customers]),
    wait=False,
    checks=SyncChecks(rejected_rows=RejectedRowsCheck(max_failed_rows=5, max_failed_ratio=0.01)),
)


@dg.asset(deps=[crm_contacts, ad_audience])
def campaign() -> None:
    """Needs what the syncs have delivered."""


activation = dg.define_asset_job("activation", [crm_contacts])

defs = dg.Definitions(
    jobs=[activation],
    assets=[customers, crm_contacts, ad_audience, mail_by_day, survey, campaign],
    sensors=[build_rudderstack_polling_sensor(assets=[survey])],
    resources={
        "rudderstack": RudderStackResource(
            access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
            api_url=dg.EnvVar("RUDDERSTACK_API_URL"),
        )
    },
)
