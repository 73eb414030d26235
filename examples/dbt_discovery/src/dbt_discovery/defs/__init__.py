"""What Dagster runs: the dbt project, and the connections of the workspace."""
