"""When the models are rebuilt and synced."""

import dagster as dg

# The raw tables are not in it: what loads them has a schedule of its own.
daily_activation = dg.define_asset_job(
    "daily_activation", selection=dg.AssetSelection.groups("models", "activation")
)

every_morning = dg.ScheduleDefinition(
    name="every_morning",
    job=daily_activation,
    cron_schedule="0 6 * * *",
    execution_timezone="UTC",
)
