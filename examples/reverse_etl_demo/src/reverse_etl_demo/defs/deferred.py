"""A sync that no step waits for: one starts it, and a sensor reports how it ends."""

import dagster as dg

from dagster_rudderstack import (
    RejectedRowsCheck,
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
        description="Readers of the newsletter. Its tool takes its time, and nothing waits for it.",
    ),
    rejected_rows_check=RejectedRowsCheck(max_failed_ratio=0.01),
    wait=False,
)

# It watches the others, too: what somebody starts in RudderStack's dashboard is reported as well.
unwaited_syncs = build_rudderstack_polling_sensor(
    name="unwaited_syncs",
    assets=[newsletter, syncs.crm_contacts, syncs.cart_audience],
    # A minute, the default, is soon enough where nobody is watching.
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
