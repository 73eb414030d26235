"""Waiting for one sync: how soon its end is noticed, how many requests and connections it costs.

Run as a script it is one of the two clients, in the environment that has the package:

    python waiting.py ours|vendor URL TOKEN SCALE ID...

It syncs all connections side by side, a thread for each, by a clock that runs SCALE times as fast
as the real one, and prints, as JSON, when each call returned.
"""

import json
import sys
import threading
import time
from collections.abc import Callable


def main() -> None:
    """Be a client."""
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
    # It blocks in time.sleep, and knows no other clock.
    time.sleep = lambda seconds: sleep(float(seconds) / scale)
    resource = RudderStackRETLResource(access_token=token, rs_cloud_url=url)
    start_and_poll: Callable[[str], object] = resource.start_and_poll
    return start_and_poll


def _ours(url: str, token: str, scale: float) -> Callable[[str], object]:
    from dagster_rudderstack import RudderStackResource
    from dagster_rudderstack.sync.life import SyncLife, SyncRequest, drive
    from dagster_rudderstack.testing import ScaledClock

    resource = RudderStackResource(access_token=token, api_url=url)
    if scale == 1:
        return resource.sync_and_poll
    # The same with another clock, which the resource does not take.
    clock = ScaledClock(scale)

    def sync(connection_id: str) -> object:
        life = SyncLife(
            resource.get_client(),
            SyncRequest(connection_id),
            resource.sync_policy(None, None),
            monotonic=clock.monotonic,
        )
        return drive(life.run(), clock.sleep)

    return sync


if __name__ == "__main__":
    main()
