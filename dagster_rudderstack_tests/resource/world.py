"""A resource with short waits."""

from typing import Any

from dagster_rudderstack import (
    RudderStackResource,
)
from dagster_rudderstack.testing import LocalRudderStack, SyncScript

SCRIPT = SyncScript(rows_total=5, rows_failed=1)
LINK = "https://app.example/{connection_id}/{sync_id}"


def resource_for(server: LocalRudderStack, **settings: Any) -> RudderStackResource:
    quick = {"poll_min_interval_seconds": 0.01, "dashboard_url": LINK, "start_settling_seconds": 0}
    return RudderStackResource(
        access_token=server.access_token, api_url=server.url, **{**quick, **settings}
    )
