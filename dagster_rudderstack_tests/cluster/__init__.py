"""A real cluster: Dagster on Celery, Redis and PostgreSQL, whose processes are killed."""
