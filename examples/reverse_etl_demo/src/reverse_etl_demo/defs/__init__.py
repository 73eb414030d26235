"""What Dagster runs: the warehouse, the syncs out of it, and when."""
