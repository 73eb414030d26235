"""Ticks of the polling sensor, or of a loop. A script of `sensor`.

    python -m benchmarks.sensor_ticks ours|loop URL TOKEN COUNT

`ours` evaluates the sensor for two passes over all connections, and prints the seconds of each tick
of the second pass, in which no sync has ended. `loop` polls the connections in sequence, as a
sensor without threads would.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial

import dagster as dg

from dagster_rudderstack import RudderStackResource, build_rudderstack_polling_sensor


def main() -> None:
    """Run one of the two and print its seconds."""
    peer, url, token, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    measured = {"ours": _ours, "loop": _loop}[peer](url, token, count)
    print(json.dumps(measured))


def _names(count: int) -> list[str]:
    return [f"c{number:05}" for number in range(count)]


def _loop(url: str, token: str, count: int) -> dict[str, object]:
    with RudderStackResource(access_token=token, api_url=url) as rudderstack:
        began = time.monotonic()
        for name in _names(count):
            rudderstack.list_syncs(name, limit=10)
        return {"ticks": [time.monotonic() - began]}


def _ours(url: str, token: str, count: int) -> dict[str, object]:
    sensor = build_rudderstack_polling_sensor(connections={name: name for name in _names(count)})
    # As in a real tick, the resource and its TCP connections are new.
    resource = partial(RudderStackResource, access_token=token, api_url=url)
    with dg.DagsterInstance.ephemeral() as instance:
        cursor, _ = _pass(sensor, resource, instance, None, count)
        cursor, seconds = _pass(sensor, resource, instance, cursor, count)
    return {"ticks": seconds, "cursor": len(cursor)}


def _pass(
    sensor: dg.SensorDefinition,
    resource: Callable[[], RudderStackResource],
    instance: dg.DagsterInstance,
    cursor: str | None,
    count: int,
) -> tuple[str, list[float]]:
    """Evaluate ticks until all connections were polled."""
    seconds: list[float] = []
    polled = 0
    while polled < count:
        before = _position(cursor)
        began = time.monotonic()
        with dg.build_sensor_context(
            instance, cursor=cursor, resources={"rudderstack": resource()}
        ) as context:
            result = sensor(context)
        seconds.append(time.monotonic() - began)
        assert isinstance(result, dg.SensorResult)
        cursor = result.cursor
        polled += (_position(cursor) - before) % count or count
    return cursor or "", seconds


def _position(cursor: str | None) -> int:
    position = json.loads(cursor)["position"] if cursor else ""
    return int(position[1:] or 0)


if __name__ == "__main__":
    main()
