"""Runs a local RudderStack in its own process, apart from the measured one. A script of `sensor`.

    python -m benchmarks.serve COUNT SYNCS LATENCY_SECONDS

It has COUNT connections with SYNCS ended syncs each. It prints its address and token, and ends when
its standard input is closed.
"""

import sys

from dagster_rudderstack.testing import LocalRudderStack, SyncScript


def main() -> None:
    """Serve until the standard input is closed."""
    count, syncs, latency_seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    with LocalRudderStack(latency_seconds=latency_seconds) as server:
        for number in range(count):
            connection_id = f"c{number:05}"
            server.add_connection(connection_id, script=SyncScript(rows_total=100))
            for _ in range(syncs):
                server.start_sync(connection_id)
        print(server.url, server.access_token, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
