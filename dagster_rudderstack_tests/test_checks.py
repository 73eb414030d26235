"""The check on rejected rows: its limits and its texts."""

import dagster as dg
import pytest

from dagster_rudderstack import InvalidSettingError, RejectedRowsCheck
from dagster_rudderstack.checks import RowLimits

KEY = dg.AssetKey("contacts")


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
        {"max_failed_ratio": "10 %"},
    ],
    ids=str,
)
def test_limits__refused(limits: dict[str, float]) -> None:
    """The error for a wrong limit names the limit."""
    with pytest.raises(InvalidSettingError, match=next(iter(limits))):
        RowLimits(**limits)  # type: ignore[arg-type]


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
    """The description of the check names its limits."""
    description = check.spec(KEY).description or ""

    assert description == f"Rows that the destination rejected. {accepted}"


@pytest.mark.parametrize(
    ("failed", "succeeded", "text"),
    [
        (0, 10, "No row was rejected."),
        (1, 9, "1 of 10 rows was rejected (10.0 %)."),
        (None, 10, "RudderStack does not report how many rows were rejected."),
    ],
)
def test_passed(failed: int | None, succeeded: int, text: str) -> None:
    """The description of a passed check has the number of rejected rows."""
    check = RejectedRowsCheck(max_failed_rows=5)

    result = check.result_of_counts(KEY, failed=failed, succeeded=succeeded)

    assert (result.passed, result.description) == (True, text)
