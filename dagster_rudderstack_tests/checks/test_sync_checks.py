"""The checks of a sync in one object: what they share, and misuse."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from dagster_rudderstack import (
    DurationCheck,
    InvalidSettingError,
    MetadataKey,
    NoRowsCheck,
    NothingChangedCheck,
    RejectedRowsCheck,
    SyncChecks,
    build_rudderstack_polling_sensor,
    build_rudderstack_sync_asset,
    build_rudderstack_sync_assets,
)
from dagster_rudderstack.checks.sync_checks import CHECKS, check_of_spec, sync_succeeded_spec

KEY = dg.AssetKey("contacts")
ALL = SyncChecks(
    rejected_rows=RejectedRowsCheck(max_failed_rows=5, max_failed_ratio=0.1),
    no_rows=NoRowsCheck(severity="ERROR", blocking=True),
    nothing_changed=NothingChangedCheck(severity=dg.AssetCheckSeverity.ERROR, name="no_changes"),
    duration=DurationCheck(max_seconds=3600),
)


def test_default() -> None:
    """By default there is only the check on rejected rows, which warns of the first one."""
    assert list(SyncChecks()) == [RejectedRowsCheck()]
    assert (RejectedRowsCheck().severity, RejectedRowsCheck().blocking) == ("WARN", False)
    assert list(SyncChecks(rejected_rows=None)) == []


def test_names() -> None:
    """Each check has the name of its field, unless it is given another one."""
    assert [check.name for check in ALL] == ["rejected_rows", "no_rows", "no_changes", "duration"]
    assert list(CHECKS) == ["rejected_rows", "no_rows", "nothing_changed", "duration"]


@pytest.mark.parametrize("check", [*ALL], ids=lambda check: check.kind)
def test_spec(check: Any) -> None:
    """The polling sensor finds the same check in the definition."""
    spec = check.spec(KEY)

    assert (spec.asset_key, spec.name, spec.blocking) == (KEY, check.name, check.blocking)
    assert check_of_spec(spec) == check


def test_spec__of_another_check() -> None:
    """A check of another kind is none of these."""
    assert check_of_spec(dg.AssetCheckSpec("mine", asset=KEY)) is None
    assert check_of_spec(sync_succeeded_spec(KEY)) is None


def test_sync_succeeded_spec() -> None:
    """The check on deferred syncs says what the dashboard calls a failed sync."""
    assert sync_succeeded_spec(KEY).description == (
        "Whether the last deferred sync succeeded, according to the polling sensor. RudderStack's "
        'dashboard calls a sync with rejected rows "failed", and a failed sync "aborted".'
    )


def test_metadata() -> None:
    """The page of an asset shows the limits and the severities of its checks."""
    assert ALL.metadata[MetadataKey.CHECKS].value == {
        "rejected_rows": {"max_failed_rows": 5, "max_failed_ratio": 0.1, "severity": "WARN"},
        "no_rows": {"severity": "ERROR"},
        "nothing_changed": {"severity": "ERROR"},
        "duration": {"max_seconds": 3600, "severity": "WARN"},
    }
    assert SyncChecks(rejected_rows=None).metadata == {}


def test_metadata__is_shared() -> None:
    """The metadata and the description are built once for all assets of a workspace."""
    checks = SyncChecks()
    (check,) = checks

    first, second = (check.spec(dg.AssetKey(name)) for name in ("a", "b"))

    assert checks.metadata is checks.metadata
    assert first.metadata[MetadataKey.CHECKS] is second.metadata[MetadataKey.CHECKS]
    assert first.description is second.description


CHECK_ERRORS: dict[str, tuple[Callable[[], object], str]] = {
    "severity": (
        lambda: NoRowsCheck(severity="INFO"),
        "severity 'INFO' of a NoRowsCheck: expected 'WARN' or 'ERROR'.",
    ),
    "blocking": (
        lambda: NoRowsCheck(severity="ERROR", blocking="no"),  # type: ignore[arg-type]
        "blocking 'no' of a NoRowsCheck: expected True or False.",
    ),
    "blocking with a warning": (
        lambda: NothingChangedCheck(blocking=True),
        (
            "A NothingChangedCheck with blocking=True needs severity='ERROR': a warning blocks "
            "nothing."
        ),
    ),
    "name": (
        lambda: NoRowsCheck(name="no rows"),
        "name 'no rows' of a NoRowsCheck: expected letters, digits and '_'.",
    ),
    "empty name": (
        lambda: NoRowsCheck(name=""),
        "name '' of a NoRowsCheck: expected letters, digits and '_'.",
    ),
    "no check": (
        lambda: SyncChecks(no_rows=True),  # type: ignore[arg-type]
        "no_rows True of SyncChecks: expected a NoRowsCheck, or None.",
    ),
    "a class": (
        lambda: SyncChecks(rejected_rows=RejectedRowsCheck),  # type: ignore[arg-type]
        (
            "rejected_rows <class 'dagster_rudderstack.checks.rejected_rows.RejectedRowsCheck'> of "
            "SyncChecks: expected a RejectedRowsCheck, or None."
        ),
    ),
    "another check": (
        lambda: SyncChecks(duration=NoRowsCheck()),  # type: ignore[arg-type]
        (
            "duration NoRowsCheck(severity='WARN', blocking=False, name='no_rows') of SyncChecks: "
            "expected a DurationCheck, or None."
        ),
    ),
    "the same name": (
        lambda: SyncChecks(no_rows=NoRowsCheck(name="rejected_rows")),
        "SyncChecks has 2 checks with the name 'rejected_rows': give each its own name.",
    ),
    "the name of the check on deferred syncs": (
        lambda: SyncChecks(no_rows=NoRowsCheck(name="sync_succeeded")),
        (
            "SyncChecks has a check with the name 'sync_succeeded', which is the name of the check "
            "on deferred syncs: give it another name."
        ),
    ),
}


@pytest.mark.parametrize(("build", "message"), CHECK_ERRORS.values(), ids=CHECK_ERRORS.keys())
def test_bad_input(build: Callable[[], object], message: str) -> None:
    """The error for a wrong value names the value and says what would be right."""
    with pytest.raises(InvalidSettingError) as caught:
        build()

    assert str(caught.value) == message


OPTION_ERRORS: dict[str, tuple[dict[str, Any], str]] = {
    "a single check": (
        {"checks": NoRowsCheck()},
        (
            "checks NoRowsCheck(severity='WARN', blocking=False, name='no_rows'): expected "
            "SyncChecks, as in checks=SyncChecks(no_rows=NoRowsCheck(...)), or None."
        ),
    ),
    "a list": (
        {"checks": []},
        (
            "checks []: expected SyncChecks, as in "
            "checks=SyncChecks(rejected_rows=RejectedRowsCheck(...)), or None."
        ),
    ),
    "the earlier name": (
        {"rejected_rows_check": None},
        (
            "There is no setting 'rejected_rows_check': pass the check in checks, as in "
            "checks=SyncChecks(rejected_rows=RejectedRowsCheck(...))."
        ),
    ),
    "the name of a check": (
        {"duration": 60},
        (
            "There is no setting 'duration': pass the check in checks, as in "
            "checks=SyncChecks(duration=DurationCheck(...))."
        ),
    ),
    "a check with another name": (
        {"alert": NothingChangedCheck()},
        (
            "There is no setting 'alert': pass the check in checks, as in "
            "checks=SyncChecks(nothing_changed=NothingChangedCheck(...))."
        ),
    ),
}


@pytest.mark.parametrize(("options", "message"), OPTION_ERRORS.values(), ids=OPTION_ERRORS.keys())
def test_bad_option(options: dict[str, Any], message: str) -> None:
    """Checks in another place are an error when the assets are built, which names the right one."""
    with pytest.raises(InvalidSettingError) as of_one:
        build_rudderstack_sync_asset(connection_id="crm", **options)
    with pytest.raises(InvalidSettingError) as of_many:
        build_rudderstack_sync_assets(connections={"crm": "a"}, name="crm", **options)

    assert (str(of_one.value), str(of_many.value)) == (message, message)


def test_bad_option__sensor() -> None:
    """The sensor refuses what the assets refuse."""
    with pytest.raises(InvalidSettingError, match="checks NoRowsCheck"):
        build_rudderstack_polling_sensor(
            connections={"crm": "contacts"},
            checks=NoRowsCheck(),  # type: ignore[arg-type]
        )
