"""The command line: checks the access, shows ids and syncs, starts and stops a sync."""
