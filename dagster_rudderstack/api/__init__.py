"""RudderStack's HTTP API, typed. Nothing in this package imports Dagster."""
