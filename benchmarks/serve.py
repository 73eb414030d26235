"""A local RudderStack in a process of its own, so that it does not share one with who is measured.

    python serve.py COUNT SYNCS LATENCY_SECONDS

has COUNT connections with so many ended syncs each. Prints its address and token; ends with its
standard input.
"""

import sys

from dagster_rudderstack.testing import LocalRudderStack, SyncScript


def main() -> None:
    """Serve until nobody listens any more."""
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
