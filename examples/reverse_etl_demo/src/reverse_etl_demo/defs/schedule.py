"""The schedule of the models, the Profiles project and their syncs."""

import dagster as dg

# Without the raw tables, which have their own schedule.
daily_activation = dg.define_asset_job(
    "daily_activation", selection=dg.AssetSelection.groups("models", "profiles", "activation")
)

every_morning = dg.ScheduleDefinition(
    name="every_morning",
    job=daily_activation,
    cron_schedule="0 6 * * *",
    execution_timezone="UTC",
)
