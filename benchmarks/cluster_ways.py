"""What `cluster` and its code location have in common: the connections and the settings."""

from typing import Any

SYNCS = 200
GROUPS = 4
WAYS = ("single", "groups", "deferred")

SCALE = 10
"""How many times as fast the syncs are."""
SENSOR_SECONDS = 60 // SCALE
"""The default interval of the sensor, as much faster."""

CELERY_CONFIG: dict[str, Any] = {
    # As docs/deployment.md recommends. No step takes as long as the visibility timeout.
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
    "broker_transport_options": {"visibility_timeout": 3600},
    "broker_connection_retry_on_startup": True,
}


def connections_of(way: str) -> list[str]:
    """Return the connections of one of the three, which are also the names of its assets."""
    return [f"{way}_{number:03}" for number in range(SYNCS)]
