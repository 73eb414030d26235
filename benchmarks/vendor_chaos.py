"""Runs syncs with RudderStack's own package 1.3.0, in its environment. A script of `chaos`.

    python vendor_chaos.py URL TOKEN SCALE TIMEOUT_SECONDS  < ids, one per line

Prints the result of each sync as JSON: the reported status, an error, or null if it hangs. The
package has its default settings, and its `time.sleep` runs `SCALE` times as fast.
"""

import json
import os
import sys
import threading
import time

from dagster_rudderstack.resources.rudderstack import (  # type: ignore[import-not-found]
    RudderStackRETLResource,
)


def main() -> None:
    """Run one thread for each connection."""
    url, token, scale, timeout_seconds = sys.argv[1], sys.argv[2], *map(float, sys.argv[3:5])
    sleep = time.sleep
    time.sleep = lambda seconds: sleep(float(seconds) / scale)
    resource = RudderStackRETLResource(access_token=token, rs_cloud_url=url, request_timeout=1)
    outcomes: dict[str, dict[str, object] | None] = {}

    def sync(connection_id: str) -> None:
        try:
            details = resource.start_and_poll(connection_id).sync_run_details
            outcomes[connection_id] = {"id": details["id"], "status": details["status"]}
        except Exception as error:  # noqa: BLE001 - any error is a result
            outcomes[connection_id] = {"error": str(error) or repr(error)}

    ids = sys.stdin.read().split()
    threads = [threading.Thread(target=sync, args=(each,), daemon=True) for each in ids]
    for thread in threads:
        thread.start()
    end = time.monotonic() + timeout_seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    print(json.dumps({each: outcomes.get(each) for each in ids}), flush=True)
    # Threads that hang would keep the process alive.
    os._exit(0)


if __name__ == "__main__":
    main()
