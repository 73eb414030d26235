"""One sync, from start to finish. Nothing in this package imports Dagster."""
