"""All requests of a process share limits: how many at once, how many per second, and pauses."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dagster_rudderstack.api.throttle import (
    Gate,
    NoTurnError,
    Throttle,
    shared_throttle,
    urgent,
    waiting_until,
)
from dagster_rudderstack.testing import ManualClock


def a_throttle(
    clock: ManualClock, max_per_second: float | None = None, gate: Gate | None = None
) -> Throttle:
    return Throttle(
        max_concurrent=2,
        max_per_second=max_per_second,
        gate=gate,
        monotonic=clock.monotonic,
        sleep=clock.sleep,
    )


def most_at_once(*throttles: Throttle, limit: int) -> int:
    """Return the peak number of 12 requests under way. Each waits until the limit is reached."""
    lock, inside, most = threading.Lock(), 0, 0
    full = threading.Barrier(limit, timeout=60)

    def request(number: int) -> None:
        nonlocal inside, most
        with throttles[number % len(throttles)].slot():
            with lock:
                inside += 1
                most = max(most, inside)
            full.wait()
            with lock:
                inside -= 1

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(request, range(12)))

    return most


def test_urgent() -> None:
    """An urgent request waits neither for the end of a pause nor for other requests."""
    clock = ManualClock()
    throttle = a_throttle(clock)
    throttle.pause(120)

    began = clock.monotonic()
    with urgent(), throttle.slot(), throttle.slot(), throttle.slot():
        assert clock.monotonic() == began
    with throttle.slot():
        assert clock.monotonic() == began + 120


def test_concurrency() -> None:
    """No more requests are under way than allowed, and each gets its turn."""
    throttle = Throttle(max_concurrent=3, max_per_second=None)

    assert most_at_once(throttle, throttle, limit=3) == 3


def test_rate() -> None:
    """Requests start no faster than allowed, also after a time without requests."""
    clock = ManualClock()
    throttle = a_throttle(clock, max_per_second=4)
    began = []
    for rest in (0, 0, 0, 10, 0, 0):
        clock.advance(rest)
        with throttle.slot():
            began.append(clock.monotonic())

    assert began == [0, 0.25, 0.5, 10.5, 10.75, 11.0]


def test_no_rate() -> None:
    """Without a limit no request waits."""
    clock = ManualClock()
    throttle = a_throttle(clock)
    for _ in range(100):
        with throttle.slot():
            pass

    assert clock.monotonic() == 0


def test_pause() -> None:
    """A pause holds back every request until it ends. A shorter one does not end it earlier."""
    clock = ManualClock()
    throttle = a_throttle(clock)
    throttle.pause(30)
    throttle.pause(5)
    with throttle.slot():
        resumed_at = clock.monotonic()
    with throttle.slot():
        pass

    assert resumed_at == clock.monotonic() == 30


def test_slot__after_an_error() -> None:
    """A request that fails makes room for the next one."""
    throttle = Throttle(max_concurrent=1, max_per_second=None)
    for _ in range(3):
        with pytest.raises(RuntimeError), throttle.slot():
            raise RuntimeError

    with throttle.slot():
        pass


def test_slot__interrupted_while_it_waits() -> None:
    """A request that is interrupted while it waits makes room for the next one."""
    clock = ManualClock()

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    throttle = Throttle(
        max_concurrent=1, max_per_second=1, monotonic=clock.monotonic, sleep=interrupted
    )
    with throttle.slot():
        pass
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt), throttle.slot():
            pass
    clock.advance(1)

    with throttle.slot():
        pass


@pytest.mark.parametrize(("until", "pause_seconds"), [(29, 30), (30, 30), (31, None)])
def test_pause__that_is_too_long(until: float, pause_seconds: float | None) -> None:
    """A request whose turn comes too late raises at once, and the error has the length of the
    pause."""
    clock = ManualClock()
    throttle = a_throttle(clock)
    throttle.pause(30)

    if pause_seconds is None:
        with waiting_until(until), throttle.slot():
            assert clock.monotonic() == 30
    else:
        with pytest.raises(NoTurnError) as caught, waiting_until(until), throttle.slot():
            pass
        assert (caught.value.pause_seconds, clock.monotonic()) == (pause_seconds, 0)
    with throttle.slot():
        assert clock.monotonic() == 30


def test_rate__that_is_too_slow() -> None:
    """A turn that comes too late because of the rate is an error too, without a pause."""
    clock = ManualClock()
    throttle = a_throttle(clock, max_per_second=0.1)
    with throttle.slot():
        pass

    with pytest.raises(NoTurnError) as caught, waiting_until(5), throttle.slot():
        pass
    assert caught.value.pause_seconds == 0


def test_concurrency__that_is_too_low() -> None:
    """A request that waits for other requests gives up in time."""
    throttle = Throttle(max_concurrent=1, max_per_second=None)

    with (
        throttle.slot(),
        pytest.raises(NoTurnError),
        waiting_until(time.monotonic() + 0.05),
        throttle.slot(),
    ):
        pass
    with throttle.slot():
        pass


def test_shared() -> None:
    """Resources of a process with the same limits for the same API share a throttle."""
    one = shared_throttle("https://a/v2", max_concurrent=4, max_per_second=None)

    assert one is shared_throttle("https://a/v2", max_concurrent=4, max_per_second=None)
    assert one is not shared_throttle("https://b/v2", max_concurrent=4, max_per_second=None)
    assert one is not shared_throttle("https://a/v2", max_concurrent=4, max_per_second=9)


def test_shared_pause() -> None:
    """A 429 pauses all resources for the same API, also with other limits, and no others."""
    clock, gate = ManualClock(), Gate()
    one, other = a_throttle(clock, gate=gate), a_throttle(clock, max_per_second=9, gate=gate)
    one.pause(30)
    with a_throttle(clock).slot():
        elsewhere_at = clock.monotonic()
    with other.slot():
        resumed_at = clock.monotonic()

    assert (elsewhere_at, resumed_at) == (0, 30)


def test_shared_rate() -> None:
    """Of several limits for the same API, the lowest applies to all."""
    clock, gate = ManualClock(), Gate()
    throttles = [a_throttle(clock, rate, gate=gate) for rate in (None, 2, 8)]
    for throttle in throttles * 2:
        with throttle.slot():
            pass

    assert clock.monotonic() == 2.5


def test_shared_concurrency() -> None:
    """No more requests to one API are under way than the lowest limit allows."""
    url = "https://shared-concurrency/v2"
    wide, narrow = (
        shared_throttle(url, max_concurrent=limit, max_per_second=None) for limit in (16, 2)
    )

    assert most_at_once(wide, narrow, limit=2) == 2


def test_shared__by_threads() -> None:
    """Threads that ask for a throttle at the same time get the same one."""
    start = threading.Barrier(8, timeout=60)

    def get(_: int) -> Throttle:
        start.wait()
        return shared_throttle("https://shared-threads/v2", max_concurrent=4, max_per_second=None)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(get, range(8)))) == 1


def test_pause__leaves_no_place_taken() -> None:
    """A request that waits for the end of a pause does not count as under way."""
    clock = ManualClock()
    gate = Gate()
    under_way = []

    def sleep(seconds: float) -> None:
        under_way.append(gate.under_way)
        clock.sleep(seconds)

    throttle = Throttle(
        max_concurrent=1, max_per_second=None, gate=gate, monotonic=clock.monotonic, sleep=sleep
    )
    throttle.pause(30)
    with throttle.slot():
        pass

    assert under_way == [0]
