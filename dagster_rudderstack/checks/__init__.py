"""The asset checks: alerts on a sync that succeeded, and the result of a deferred sync."""
