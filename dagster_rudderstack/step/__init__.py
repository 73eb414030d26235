"""Syncs inside a Dagster step: run, recorded, resumed, interrupted and summarized."""
