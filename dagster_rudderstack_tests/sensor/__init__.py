"""The polling sensor: what it polls, what it detects, its cursor, and its ticks in Dagster."""
