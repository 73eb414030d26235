"""A sync that no step waits for: a step starts it, and a sensor reports its result."""

import dagster as dg

from dagster_rudderstack import (
    RejectedRowsCheck,
    SyncChecks,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
)
from reverse_etl_demo.defs import syncs

newsletter = build_rudderstack_sync_asset(
    connection_id="newsletter",
    spec=dg.AssetSpec(
        "newsletter",
        deps=["customer_360"],
        group_name="newsletter",
        owners=["team:marketing"],
        description="Readers of the newsletter. Its tool is slow, so no step waits for the sync.",
    ),
    checks=SyncChecks(rejected_rows=RejectedRowsCheck(max_failed_ratio=0.01)),
    wait=False,
)

# It covers the other assets as well, to report syncs that start in RudderStack's dashboard.
unwaited_syncs = build_rudderstack_polling_sensor(
    name="unwaited_syncs",
    assets=[newsletter, syncs.crm_contacts, syncs.crm_segments, syncs.cart_audience],
    # For the demo. The default of a minute suits most projects.
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
