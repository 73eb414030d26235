"""The exception that ends a step whose run was canceled or has ended."""

import dagster as dg
import pytest

from dagster_rudderstack.step.interrupts import RunEndedError


def test_run_ended_error__names() -> None:
    """It has the names, plain and qualified, by which Dagster recognizes an interrupt."""
    assert RunEndedError.__name__ == dg.DagsterExecutionInterruptedError.__name__
    assert RunEndedError.__qualname__ == dg.DagsterExecutionInterruptedError.__qualname__


def test_run_ended_error__bases() -> None:
    """It is an interrupt, and a DagsterError, which no RetryPolicy retries."""
    assert issubclass(RunEndedError, dg.DagsterExecutionInterruptedError)
    assert issubclass(RunEndedError, dg.DagsterError)


def test_run_ended_error__celery() -> None:
    """Celery brings it to the process of the run as an interrupt, so that the run, if it was
    canceled by force, does not end as failed."""
    serialization = pytest.importorskip("celery.utils.serialization")

    sent = serialization.get_pickleable_exception(RunEndedError("Stopped."))

    assert type(sent) is dg.DagsterExecutionInterruptedError
    assert sent.args == ("Stopped.",)
