"""Syncs connections with one of the two packages. A script of `one_sync`.

It runs in the environment of the package:

    python one_sync_client.py ours|vendor URL TOKEN SCALE ID...

It syncs all connections in parallel, in one thread each, with a clock that runs SCALE times as fast
as the real one. It prints as JSON when each call has returned.
"""

import json
import sys
import threading
import time
from collections.abc import Callable


def main() -> None:
    """Sync the connections of the command line."""
    peer, url, token, scale = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
    call = {"ours": _ours, "vendor": _vendor}[peer](url, token, scale)
    returned: dict[str, float] = {}

    def sync(connection_id: str) -> None:
        call(connection_id)
        returned[connection_id] = time.time()

    threads = [threading.Thread(target=sync, args=[each]) for each in sys.argv[5:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(returned))


def _vendor(url: str, token: str, scale: float) -> Callable[[str], object]:
    from dagster_rudderstack.resources.rudderstack import (  # type: ignore[import-not-found]
        RudderStackRETLResource,
    )

    sleep = time.sleep
    # The package blocks in time.sleep and cannot use another clock.
    time.sleep = lambda seconds: sleep(float(seconds) / scale)
    resource = RudderStackRETLResource(access_token=token, rs_cloud_url=url)
    start_and_poll: Callable[[str], object] = resource.start_and_poll
    return start_and_poll


def _ours(url: str, token: str, scale: float) -> Callable[[str], object]:
    from dagster_rudderstack import RudderStackResource
    from dagster_rudderstack.sync.attempt import SyncAttempt
    from dagster_rudderstack.sync.request import SyncRequest
    from dagster_rudderstack.sync.run import start_and_wait
    from dagster_rudderstack.sync.task import drive
    from dagster_rudderstack.testing import ScaledClock

    resource = RudderStackResource(access_token=token, api_url=url)
    if scale == 1:
        return resource.sync_and_poll
    # The resource cannot use another clock, so this is what it does with one.
    clock = ScaledClock(scale)

    def sync(connection_id: str) -> object:
        attempt = SyncAttempt(
            resource.get_client(),
            SyncRequest(connection_id),
            resource.sync_policy(),
            monotonic=clock.monotonic,
        )
        return drive(start_and_wait(attempt), clock.sleep)

    return sync


if __name__ == "__main__":
    main()
