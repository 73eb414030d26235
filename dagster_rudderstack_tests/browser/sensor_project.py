"""The code location of the tests of deferred syncs: two deferred assets, and one that waits."""

import dagster as dg

from dagster_rudderstack import (
    RudderStackResource,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
)

CRM = "2hkeBOp0lGJpMPyur0oXUxxIDhw"
ADS = "2hkeBWdTkWWcBlbJyvsrqGdfGbe"
SURVEY = "2hkeCMZbpfTcbVnb1ZZfTfSJ0nW"

DASHBOARD = "https://app.rudderstack.com/connections/{connection_id}/syncs/{sync_id}"

crm_contacts = build_rudderstack_sync_asset(connection_id=CRM, spec="crm_contacts", wait=False)
survey = build_rudderstack_sync_asset(connection_id=SURVEY, spec="survey", wait=False)
ad_audience = build_rudderstack_sync_asset(connection_id=ADS, spec="ad_audience")

defs = dg.Definitions(
    assets=[crm_contacts, survey, ad_audience],
    sensors=[
        build_rudderstack_polling_sensor(
            assets=[crm_contacts, survey, ad_audience],
            minimum_interval_seconds=1,
            default_status=dg.DefaultSensorStatus.RUNNING,
        )
    ],
    resources={
        "rudderstack": RudderStackResource(
            access_token=dg.EnvVar("RUDDERSTACK_ACCESS_TOKEN"),
            api_url=dg.EnvVar("RUDDERSTACK_API_URL"),
            dashboard_url=DASHBOARD,
        )
    },
)
