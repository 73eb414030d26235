"""A deferred asset that a code location loads with a prefix."""

from dagster_rudderstack import build_rudderstack_sync_asset

prefixed = build_rudderstack_sync_asset(connection_id="prefixed", spec="prefixed", wait=False)
