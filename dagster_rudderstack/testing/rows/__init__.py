"""Syncs of real rows: from a DuckDB warehouse into a destination file."""
