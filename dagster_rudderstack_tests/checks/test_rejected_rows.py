"""The check on rejected rows: its limits and its texts."""

from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    InvalidSettingError,
    MetadataKey,
    RejectedRowsCheck,
    Sync,
    SyncMetrics,
)
from dagster_rudderstack.checks.rejected_rows import RowLimits

KEY = dg.AssetKey("contacts")


def sync(**counts: int | None) -> Sync:
    """Return a sync that succeeded with these numbers of rows."""
    metrics: Any = {name: {"total": count} for name, count in counts.items()}
    return Sync(id="s", status="succeeded", metrics=SyncMetrics(**metrics))


@pytest.mark.parametrize(
    ("limits", "failed", "succeeded", "reason"),
    [
        (RowLimits(), 0, 10, None),
        (RowLimits(), 1, 10, "1 of 11 rows was rejected (9.1 %); none is accepted"),
        (RowLimits(), 8, 1992, "8 of 2,000 rows were rejected (0.4 %); none is accepted"),
        (RowLimits(), 1, 10**6, "1 of 1,000,001 rows was rejected (0.0001 %); none is accepted"),
        (RowLimits(), 3, None, "3 rows were rejected; none is accepted"),
        (RowLimits(), None, None, None),
        (RowLimits(max_failed_rows=1), 1, 0, None),
        (
            RowLimits(max_failed_rows=1),
            2,
            0,
            "2 of 2 rows were rejected (100.0 %); up to 1 is accepted",
        ),
        (
            RowLimits(max_failed_rows=5),
            8,
            1992,
            "8 of 2,000 rows were rejected (0.4 %); up to 5 are accepted",
        ),
        (RowLimits(max_failed_ratio=0.1), 1, 9, None),
        (
            RowLimits(max_failed_ratio=0.1),
            2,
            9,
            "2 of 11 rows were rejected (18.2 %); up to 10.0 % is accepted",
        ),
        (RowLimits(max_failed_ratio=0.1), 2, None, None),
        (RowLimits(max_failed_ratio=1), 9, 0, None),
        (
            RowLimits(max_failed_rows=5, max_failed_ratio=0.5),
            4,
            0,
            "4 of 4 rows were rejected (100.0 %); up to 50.0 % is accepted",
        ),
    ],
)
def test_limits(
    limits: RowLimits, failed: int | None, succeeded: int | None, reason: str | None
) -> None:
    """Without a limit, no rejected row is accepted. An unknown count exceeds no limit."""
    assert limits.exceeded(failed, succeeded) == reason


@pytest.mark.parametrize(
    "limits",
    [
        {"max_failed_rows": -1},
        {"max_failed_rows": 1.5},
        {"max_failed_rows": True},
        {"max_failed_ratio": -0.1},
        {"max_failed_ratio": 1.1},
        {"max_failed_ratio": float("nan")},
        {"max_failed_ratio": True},
        {"max_failed_ratio": "10 %"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [RowLimits, RejectedRowsCheck])
def test_limits__refused(kind: Any, limits: dict[str, Any]) -> None:
    """The error for a wrong limit names the limit and the value."""
    ((name, value),) = limits.items()

    with pytest.raises(InvalidSettingError) as caught:
        kind(**limits)

    assert str(caught.value).startswith(f"{name} {value!r}: expected ")


@pytest.mark.parametrize(
    ("check", "accepted"),
    [
        (RejectedRowsCheck(), "Accepted: none."),
        (RejectedRowsCheck(max_failed_rows=1), "Accepted: up to 1 row."),
        (
            RejectedRowsCheck(max_failed_rows=7, max_failed_ratio=0.5),
            "Accepted: up to 7 rows and up to 50.0 % of the rows sent.",
        ),
    ],
    ids=["no_limit", "one_limit", "two_limits"],
)
def test_description(check: RejectedRowsCheck, accepted: str) -> None:
    """The description of the check names its limits, and the words of RudderStack's dashboard."""
    description = check.spec(KEY).description or ""

    assert description == (
        f"Rows that the destination rejected. {accepted} RudderStack's dashboard calls a sync with "
        'rejected rows "failed", and a failed sync "aborted".'
    )


IN_DASHBOARD = 'RudderStack\'s dashboard calls this sync "failed".'


@pytest.mark.parametrize(
    ("limits", "failed", "succeeded", "passed", "text"),
    [
        ({}, 0, 10, True, "No row was rejected."),
        (
            {},
            4,
            222,
            False,
            f"4 of 226 rows were rejected (1.8 %); none is accepted. {IN_DASHBOARD}",
        ),
        (
            {"max_failed_rows": 5},
            4,
            222,
            True,
            f"4 of 226 rows were rejected (1.8 %); up to 5 are accepted. {IN_DASHBOARD}",
        ),
        (
            {"max_failed_rows": 1},
            1,
            9,
            True,
            f"1 of 10 rows was rejected (10.0 %); up to 1 is accepted. {IN_DASHBOARD}",
        ),
        (
            {"max_failed_ratio": 0.02},
            4,
            222,
            True,
            f"4 of 226 rows were rejected (1.8 %); up to 2.0 % is accepted. {IN_DASHBOARD}",
        ),
        (
            {"max_failed_rows": 5, "max_failed_ratio": 0.02},
            4,
            222,
            True,
            (
                f"4 of 226 rows were rejected (1.8 %); up to 5 and up to 2.0 % are accepted. "
                f"{IN_DASHBOARD}"
            ),
        ),
        (
            {"max_failed_ratio": 0.02},
            4,
            None,
            True,
            (
                "4 rows were rejected; RudderStack does not report their share of the rows sent. "
                f"{IN_DASHBOARD}"
            ),
        ),
        ({}, None, 10, True, "RudderStack does not report how many rows were rejected."),
    ],
)
def test_result(
    limits: dict[str, Any], failed: int | None, succeeded: int | None, passed: bool, text: str
) -> None:
    """The result says how many rows were rejected, which limit holds, and what the dashboard
    shows."""
    check = RejectedRowsCheck(**limits)

    result = check.result(KEY, sync(failed=failed, succeeded=succeeded))

    assert (result.passed, result.description) == (passed, text)


def test_result__metadata() -> None:
    """The result has the counts that RudderStack reports, and no others."""
    result = RejectedRowsCheck().result(KEY, sync(failed=4))

    values = {key: value.value for key, value in result.metadata.items()}
    assert values == {MetadataKey.ROWS_FAILED: 4}
