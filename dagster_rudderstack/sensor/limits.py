"""What a tick of the polling sensor costs at most.

A tick sends one request for each connection, which lists its newest syncs. It reads Dagster's
storage only for connections that have a sync to report. With no limit, a sensor that was off for a
week or that watches a thousand connections would exceed the 60 s that Dagster gives a tick, and
lose what it had found. What is left over is the work of the next tick.
"""

from __future__ import annotations

__all__ = [
    "EVENTS_PER_SYNC",
    "EVENTS_READ",
    "FIRST_PAGE",
    "LAST_REQUEST_SECONDS",
    "MAX_CATCH_UP",
    "MAX_ENDS",
    "MAX_OPEN",
    "MAX_TICK_SECONDS",
    "MOST_EVENTS",
    "OUTAGE_AFTER",
    "PAGE_SIZE",
    "RUNS_READ",
    "STOP_SECONDS",
    "STRAGGLERS_SECONDS",
    "SYNC_LOGS_SECONDS",
    "TICK_SECONDS",
]

# --- time

TICK_SECONDS = 40
"""After how many seconds a tick begins no more requests, unless the sensor says otherwise."""

MAX_TICK_SECONDS = 45

STRAGGLERS_SECONDS = 8.0
"""How long a tick then waits for the requests that it has already sent."""

STOP_SECONDS = 5.0
"""How long a tick waits for the stops of syncs whose timeouts have passed."""

SYNC_LOGS_SECONDS = 3.0
"""How long a tick asks RudderStack where the rejected rows of its syncs are listed."""

LAST_REQUEST_SECONDS = 57.0
"""After how many seconds a tick asks nothing more. Dagster ends it after 60."""

# --- requests

FIRST_PAGE = 10
"""How many syncs are listed at first: enough, unless many have ended since the last tick."""

MAX_CATCH_UP = 1000
"""How many syncs of one connection are listed after a long pause of the sensor."""

MAX_ENDS = 500
"""Once a tick has found this many finished syncs, it reports no more connections. Dagster's daemon
takes 20 to 70 ms to store each."""

OUTAGE_AFTER = 32
"""How many connections must fail, and none succeed, before a tick suspects an outage. It then polls
as many others at random, since neighbors in the list may fail for a reason that is not an outage.
If they fail too, it polls no more."""

MAX_OPEN = 25
"""Maximum number of running syncs of one connection to remember. RudderStack runs one, or a few."""

# --- Dagster's storage

EVENTS_READ = 200
"""How many events of an asset are read to find the syncs that were reported."""

EVENTS_PER_SYNC = 2
"""How many more are read for each sync that has ended since the last tick. After a pause of the
sensor, runs of Dagster may have reported many."""

MOST_EVENTS = 10_000
"""Maximum number of events of an asset that are read, however many syncs have ended."""

PAGE_SIZE = 200
"""How many events one query reads."""

RUNS_READ = 500
"""Maximum number of runs whose records a tick reads, the newest first."""
