"""The polling sensor: reports syncs that no Dagster step waits for."""
