"""Tests with real Dagster processes: what signals, cancellations and kills do to a sync."""
