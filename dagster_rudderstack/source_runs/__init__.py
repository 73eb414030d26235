"""Runs of Profiles projects and of ETL sources as assets and ops."""
