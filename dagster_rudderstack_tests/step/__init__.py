"""Many syncs in one step, and syncs that no step waits for."""
