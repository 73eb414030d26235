"""A workspace as Dagster assets: its snapshot, and what is made of it."""
