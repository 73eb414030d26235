"""Reverse ETL as Dagster assets: the models of a warehouse are synced to destinations."""
