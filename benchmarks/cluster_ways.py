"""What `cluster` and its code location have in common: the connections and the settings."""

SYNCS = 200
GROUPS = 4
WAYS = ("single", "groups", "deferred")

SCALE = 10
"""How many times as fast the syncs are."""
SENSOR_SECONDS = 60 // SCALE
"""The default interval of the sensor, as much faster."""

VISIBILITY_SECONDS = 3600
"""No step takes as long, so none is delivered again."""


def connections_of(way: str) -> list[str]:
    """Return the connections of one of the three, which are also the names of its assets."""
    return [f"{way}_{number:03}" for number in range(SYNCS)]
