"""The connections of `sensor_load`, and the syncs that another client starts in its hour."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from dagster_rudderstack.testing import SyncScript

COUNT_VARIABLE = "BENCHMARK_CONNECTIONS"
"""The environment variable with the number of connections."""
SCALE = 6
"""How many times as fast the syncs are."""
HOUR = 3600.0
SEED = 20261127
OTHER_SYNCS = 2500
"""How many syncs of connections that are synced seldom, at most."""
BUSY_CONNECTIONS = 5
BUSY_SECONDS = 20.0
"""The duration of the syncs of a busy connection. More of them end between two polls than the
sensor lists at first."""
PAUSE_SECONDS = 15.0
"""The shortest pause between two syncs of a connection."""
FAILED, WITH_REJECTED_ROWS = 0.1, 0.1
"""The shares of the syncs."""


def connections(count: int) -> list[str]:
    """Return the ids of the connections, which are also the names of their assets."""
    return [f"c{number:05}" for number in range(count)]


@dataclass(frozen=True)
class PlannedSync:
    """A sync that another client starts.

    Attributes:
        at: When, in seconds after the beginning of the hour.
        connection_id: Its connection.
        script: What it does.
    """

    at: float
    connection_id: str
    script: SyncScript

    @property
    def ends_at(self) -> float:
        """When it ends, in seconds after the beginning of the hour."""
        return self.at + self.script.duration_seconds


def planned_syncs(connection_ids: Sequence[str]) -> list[PlannedSync]:
    """Return the syncs in the order of their starts. All of them end within the hour."""
    chance = random.Random(SEED)
    busy = chance.sample(connection_ids, BUSY_CONNECTIONS)
    planned = [
        PlannedSync(
            BUSY_SECONDS / BUSY_CONNECTIONS * place + at, each, _script(chance, BUSY_SECONDS)
        )
        for place, each in enumerate(busy)
        for at in range(0, int(HOUR), int(BUSY_SECONDS + PAUSE_SECONDS))
    ]
    others = [
        PlannedSync(
            chance.uniform(0, HOUR),
            chance.choice(connection_ids),
            _script(chance, chance.uniform(BUSY_SECONDS, 600)),
        )
        for _ in range(OTHER_SYNCS)
    ]
    planned += _without_overlaps([each for each in others if each.connection_id not in busy])
    return sorted((each for each in planned if each.ends_at <= HOUR), key=lambda each: each.at)


def _without_overlaps(planned: Sequence[PlannedSync]) -> list[PlannedSync]:
    """Leave out the syncs that RudderStack would refuse, because another one is still running."""
    kept: list[PlannedSync] = []
    free_at: dict[str, float] = {}
    for each in sorted(planned, key=lambda each: each.at):
        if each.at >= free_at.get(each.connection_id, 0.0):
            free_at[each.connection_id] = each.ends_at + PAUSE_SECONDS
            kept.append(each)
    return kept


def _script(chance: random.Random, seconds: float) -> SyncScript:
    kind = chance.random()
    if kind < FAILED:
        return SyncScript(seconds, status="failed", error="relation does not exist")
    rejected = chance.randint(1, 50) if kind < FAILED + WITH_REJECTED_ROWS else 0
    return SyncScript(seconds, rows_total=100, rows_failed=rejected)
