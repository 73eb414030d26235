"""The exception that ends a step whose run was canceled."""

import dagster as dg

from dagster_rudderstack.step.interrupts import RunCanceledError


def test_run_canceled_error__names() -> None:
    """It has the names, plain and qualified, by which Dagster recognizes an interrupt."""
    assert RunCanceledError.__name__ == dg.DagsterExecutionInterruptedError.__name__
    assert RunCanceledError.__qualname__ == dg.DagsterExecutionInterruptedError.__qualname__


def test_run_canceled_error__bases() -> None:
    """It is an interrupt, and a DagsterError, which no RetryPolicy retries."""
    assert issubclass(RunCanceledError, dg.DagsterExecutionInterruptedError)
    assert issubclass(RunCanceledError, dg.DagsterError)
