"""The clocks."""

import doctest
import time

import pytest

from dagster_rudderstack.testing import ManualClock, ScaledClock, clock


def test_examples() -> None:
    """The examples in the docstrings work."""
    assert doctest.testmod(clock).failed == 0


def test_real_time() -> None:
    """By default a clock shows the real time."""
    assert ScaledClock()() == pytest.approx(time.time(), abs=1)


def test_scale() -> None:
    """A scaled clock runs faster and sleeps for a shorter time."""
    fast = ScaledClock(scale=10_000)
    real_before, before = time.monotonic(), fast()
    fast.sleep(100)
    passed, real_passed = fast() - before, time.monotonic() - real_before

    assert 100 <= passed <= real_passed * 10_001
    assert real_passed < 5


def test_skew() -> None:
    """A skewed clock shows another time but counts the same seconds."""
    right = ScaledClock(scale=2)
    wrong = right.skewed(-300)

    assert wrong() - right() == pytest.approx(-300, abs=1)
    assert wrong.monotonic() == pytest.approx(right.monotonic(), abs=1)
    assert repr(wrong) == "ScaledClock(scale=2, skew_seconds=-300.0)"


def test_origin() -> None:
    """Two processes with the same origin have the same clock."""
    origin = time.time() - 10

    assert ScaledClock(60, origin=origin)() == pytest.approx(origin + 600, abs=60)


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_wrong_scale(scale: float) -> None:
    """The scale must be positive and finite."""
    with pytest.raises(ValueError, match="scale"):
        ScaledClock(scale)


def test_manual() -> None:
    """A manual clock stands still until it is advanced."""
    manual = ManualClock(1000)
    manual.advance(5)
    manual.sleep(2)
    manual.sleep(-1)

    assert (manual(), manual.monotonic()) == (1007, 7)
    assert repr(manual) == "ManualClock(1970-01-01T00:16:47.000Z)"
    with pytest.raises(ValueError, match="cannot advance"):
        manual.advance(-1)


def test_timestamps() -> None:
    """Timestamps have milliseconds, and `to_milliseconds` does not round up."""
    assert clock.timestamp(1_767_571_200.123) == "2026-01-05T00:00:00.123Z"
    assert clock.timestamp(clock.to_milliseconds(1_767_571_200.9999)).endswith("00.999Z")
