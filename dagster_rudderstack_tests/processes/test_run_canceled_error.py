"""The exception that ends a step whose run somebody has canceled."""

import dagster as dg

from dagster_rudderstack.step.attempt import RunCanceledError


def test_names() -> None:
    """Dagster tells an interrupt by its name, on Python 3.13 by the qualified one."""
    assert RunCanceledError.__name__ == dg.DagsterExecutionInterruptedError.__name__
    assert RunCanceledError.__qualname__ == dg.DagsterExecutionInterruptedError.__qualname__


def test_kinds() -> None:
    """It is an interrupt, and of the one kind of exception that a RetryPolicy lets pass."""
    assert issubclass(RunCanceledError, dg.DagsterExecutionInterruptedError)
    assert issubclass(RunCanceledError, dg.DagsterError)
