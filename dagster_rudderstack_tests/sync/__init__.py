"""The attempt of a sync under fire: a real server on loopback, and time that is handed in."""
