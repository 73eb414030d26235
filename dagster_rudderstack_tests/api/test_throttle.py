"""One gate for all requests of a process: so many at once, so many per second, none in a pause."""

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
    """Return how many of twelve requests are under way at most, which wait for so many to be."""
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


def test_what_is_urgent() -> None:
    """What is urgent waits neither for the end of a pause nor for a place."""
    clock = ManualClock()
    throttle = a_throttle(clock)
    throttle.pause(120)

    began = clock.monotonic()
    with urgent(), throttle.slot(), throttle.slot(), throttle.slot():
        assert clock.monotonic() == began
    with throttle.slot():
        assert clock.monotonic() == began + 120


def test_concurrency() -> None:
    """Never more requests are under way than allowed, and all of them get their turn."""
    throttle = Throttle(max_concurrent=3, max_per_second=None)

    assert most_at_once(throttle, throttle, limit=3) == 3


def test_rate() -> None:
    """Requests begin no faster than allowed, and a rest earns no burst."""
    clock = ManualClock()
    throttle = a_throttle(clock, max_per_second=4)
    began = []
    for rest in (0, 0, 0, 10, 0, 0):
        clock.advance(rest)
        with throttle.slot():
            began.append(clock.monotonic())

    assert began == [0, 0.25, 0.5, 10.5, 10.75, 11.0]


def test_no_rate() -> None:
    """Without a limit nothing waits."""
    clock = ManualClock()
    throttle = a_throttle(clock)
    for _ in range(100):
        with throttle.slot():
            pass

    assert clock.monotonic() == 0


def test_pause() -> None:
    """A pause holds back every request until it is over; a shorter one does not end it."""
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
    """A request that fails gives its place back."""
    throttle = Throttle(max_concurrent=1, max_per_second=None)
    for _ in range(3):
        with pytest.raises(RuntimeError), throttle.slot():
            raise RuntimeError

    with throttle.slot():
        pass


def test_slot__interrupted_while_it_waits() -> None:
    """An interrupt during the wait gives the place back."""
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
def test_pause__that_lasts_too_long(until: float, pause_seconds: float | None) -> None:
    """A request whose turn comes too late for who sends it is not waited for; the error tells how
    long the pause is."""
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
    """The same holds for a turn that the rate puts off, which is no pause."""
    clock = ManualClock()
    throttle = a_throttle(clock, max_per_second=0.1)
    with throttle.slot():
        pass

    with pytest.raises(NoTurnError) as caught, waiting_until(5), throttle.slot():
        pass
    assert caught.value.pause_seconds == 0


def test_concurrency__too_many_before_us() -> None:
    """Nor is a place waited for longer than that."""
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
    """All resources of a process with the same limits for the same API share a gate."""
    one = shared_throttle("https://a/v2", max_concurrent=4, max_per_second=None)

    assert one is shared_throttle("https://a/v2", max_concurrent=4, max_per_second=None)
    assert one is not shared_throttle("https://b/v2", max_concurrent=4, max_per_second=None)
    assert one is not shared_throttle("https://a/v2", max_concurrent=4, max_per_second=9)


def test_shared_pause() -> None:
    """A 429 to a resource holds back those with other limits for the same API, and no others."""
    clock, gate = ManualClock(), Gate()
    one, other = a_throttle(clock, gate=gate), a_throttle(clock, max_per_second=9, gate=gate)
    one.pause(30)
    with a_throttle(clock).slot():
        elsewhere_at = clock.monotonic()
    with other.slot():
        resumed_at = clock.monotonic()

    assert (elsewhere_at, resumed_at) == (0, 30)


def test_shared_rate() -> None:
    """Of several limits for the same API the lowest holds for all."""
    clock, gate = ManualClock(), Gate()
    throttles = [a_throttle(clock, rate, gate=gate) for rate in (None, 2, 8)]
    for throttle in throttles * 2:
        with throttle.slot():
            pass

    assert clock.monotonic() == 2.5


def test_shared_concurrency() -> None:
    """Never more requests to one API are under way than the lowest limit allows."""
    url = "https://shared-concurrency/v2"
    wide, narrow = (
        shared_throttle(url, max_concurrent=limit, max_per_second=None) for limit in (16, 2)
    )

    assert most_at_once(wide, narrow, limit=2) == 2
