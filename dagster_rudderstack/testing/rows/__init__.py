"""Real rows: syncs into a destination file, and runs that build tables of the warehouse."""
