"""Reverse ETL as Dagster assets: warehouse models in, synced destinations out."""
