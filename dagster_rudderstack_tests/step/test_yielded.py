"""What a body has yielded, and what it must yield, without a run."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack.errors import InvalidSettingError, SyncFailedError
from dagster_rudderstack.metadata import Metadata
from dagster_rudderstack.step.results import StepSync, SyncResult
from dagster_rudderstack.step.yielded import Yielded
from dagster_rudderstack.sync.request import SyncRequest

ADS, CRM = dg.AssetKey("ads"), dg.AssetKey("crm")


def of_two() -> Yielded:
    """Return what a step of two assets has yielded: nothing yet."""
    return Yielded({"ads_output": ADS, "crm_output": CRM})


def missing(yielded: Yielded) -> list[str]:
    """Return the assets that the step still has to yield."""
    left = []
    for key in (ADS, CRM):
        try:
            yielded.check("activation", [key])
        except InvalidSettingError:
            left.append(key.to_user_string())
    return left


@pytest.mark.parametrize(
    "event",
    [dg.MaterializeResult(CRM), dg.ObserveResult(CRM), dg.Output(None, "crm_output")],
    ids=["materialized", "observed", "output"],
)
def test_add(event: object) -> None:
    """A result of any kind counts for its asset, and for no other."""
    yielded = of_two()

    yielded.add(event)

    assert missing(yielded) == ["ads"]


def test_add__no_key() -> None:
    """In a step of one asset, a result needs no key."""
    yielded = Yielded({"crm_output": CRM})

    yielded.add(dg.MaterializeResult())

    yielded.check("sync_crm", [CRM])


def test_add__of_no_asset() -> None:
    """An output that is no asset's, and what is no result, count for nothing."""
    yielded = of_two()

    yielded.add(dg.Output(None, "another"))
    yielded.add("text")

    assert missing(yielded) == ["ads", "crm"]


@pytest.mark.parametrize("is_nested", [True, False])
def test_has_check(is_nested: bool) -> None:
    """The result of a check is remembered, whether it is yielded alone or with its asset."""
    yielded = of_two()
    check = dg.AssetCheckResult(asset_key=CRM, check_name="rejected_rows", passed=True)

    yielded.add(dg.MaterializeResult(CRM, check_results=[check]) if is_nested else check)

    assert yielded.has_check(CRM, "rejected_rows")
    assert not yielded.has_check(CRM, "another")
    assert not yielded.has_check(ADS, "rejected_rows")


@pytest.mark.parametrize("is_nested", [True, False])
def test_has_check__no_name(is_nested: bool) -> None:
    """Dagster finds the check of a result without a name, and so does the step."""
    key = dg.AssetCheckKey(CRM, "rejected_rows")
    yielded = Yielded({"crm_output": CRM}, [key])
    check = dg.AssetCheckResult(passed=True)

    yielded.add(dg.MaterializeResult(check_results=[check]) if is_nested else check)

    assert yielded.has_check(CRM, "rejected_rows")


@pytest.mark.parametrize("kind", [dg.MaterializeResult, dg.ObserveResult])
def test_completed(kind: type[dg.MaterializeResult[Any] | dg.ObserveResult]) -> None:
    """The function's own result gets the numbers of the sync. Its own entries stay."""
    yielded = of_two()
    yielded.metadata[CRM] = {"rudderstack/sync_id": "s", "rudderstack/rows_failed": 2}

    completed = yielded.completed(kind(CRM, metadata={"owner": "us"}))

    assert isinstance(completed, kind)
    assert completed.metadata == {
        "rudderstack/sync_id": "s",
        "rudderstack/rows_failed": 2,
        "owner": "us",
    }


@pytest.mark.parametrize(
    ("metadata", "is_reported", "error", "is_excused"),
    [
        (None, False, None, True),
        ({}, True, None, True),
        ({}, False, None, False),
        (None, False, RuntimeError("bug"), False),
    ],
    ids=["nothing to report", "reported before", "to report", "failed"],
)
def test_excuse(
    metadata: Metadata | None, is_reported: bool, error: Exception | None, is_excused: bool
) -> None:
    """An asset without a materialization to yield is excused, unless its sync failed."""
    yielded = of_two()
    sync = StepSync(SyncRequest("crm"), CRM)
    reported = frozenset(sync.keys if is_reported else ())

    yielded.excuse(SyncResult(sync, "word", metadata=metadata, reported_keys=reported, error=error))

    assert missing(yielded) == (["ads"] if is_excused else ["ads", "crm"])


def test_excuse__no_asset() -> None:
    """A sync that is reported on no asset excuses none."""
    yielded = of_two()

    yielded.excuse(SyncResult(StepSync(SyncRequest("crm")), "skipped"))

    assert missing(yielded) == ["ads", "crm"]


def test_check() -> None:
    """The error names the step and all missing assets."""
    with pytest.raises(InvalidSettingError) as error:
        of_two().check("activation", [ADS, CRM])

    assert error.value.message == (
        "The function of step 'activation' yielded nothing for ads, crm. It must yield all results "
        "of sync() (yield from sync())."
    )
    assert error.value.__cause__ is None


def test_during() -> None:
    """The results of `sync()` pass unchanged."""
    assert list(of_two().during(iter([1, 2]))) == [1, 2]


def test_during__caught_failure() -> None:
    """If the body catches the failure of `sync()`, the error says so. A later call forgets it."""
    failure = SyncFailedError("No table.", connection_id="crm")

    def failing() -> Iterator[Any]:
        raise failure
        yield

    yielded = of_two()
    with pytest.raises(SyncFailedError):
        list(yielded.during(failing()))

    with pytest.raises(InvalidSettingError) as error:
        yielded.check("activation", [CRM])
    assert error.value.__cause__ is failure
    assert error.value.message.endswith(
        "(yield from sync()). It caught a failure of sync(): raise the failure again."
    )

    list(yielded.during(iter([])))
    with pytest.raises(InvalidSettingError) as later:
        yielded.check("activation", [CRM])
    assert later.value.__cause__ is None
