"""The tables and columns that a SQL model reads. Only this package imports sqlglot."""
