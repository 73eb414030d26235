"""Enables the fixture `local_rudderstack`."""

pytest_plugins = ["dagster_rudderstack.testing.pytest_plugin"]
