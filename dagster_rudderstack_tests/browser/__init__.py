"""Tests that open Dagster's UI in a browser and check what a person sees."""
