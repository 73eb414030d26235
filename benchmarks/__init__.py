"""Benchmarks against RudderStack's own package. `RESULTS.md` has the results."""
