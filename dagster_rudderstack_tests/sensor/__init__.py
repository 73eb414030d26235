"""The polling sensor: its rules, its rounds, its cursor, and Dagster around it."""
