"""Deferred syncs: a step starts a sync and ends, and the polling sensor reports the result."""
