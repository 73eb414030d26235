"""The exception that ends a step whose run a person has canceled."""

import dagster as dg

from dagster_rudderstack.step.interrupts import RunCanceledError


def test_names() -> None:
    """Dagster recognizes an interrupt by its name, on Python 3.13 by the qualified one."""
    assert RunCanceledError.__name__ == dg.DagsterExecutionInterruptedError.__name__
    assert RunCanceledError.__qualname__ == dg.DagsterExecutionInterruptedError.__qualname__


def test_kinds() -> None:
    """It is an interrupt, and of the one kind of exception that a RetryPolicy lets pass."""
    assert issubclass(RunCanceledError, dg.DagsterExecutionInterruptedError)
    assert issubclass(RunCanceledError, dg.DagsterError)
