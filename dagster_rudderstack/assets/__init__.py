"""Assets of connections: their factories, their specs, and what their steps do."""
