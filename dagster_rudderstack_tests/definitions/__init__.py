"""What Dagster shows and remembers: real instances, a real server, no other process."""
