"""What a definition, a call in a step or the config of a run chooses for its syncs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from dagster_rudderstack.api.validation import checked_choice, checked_seconds, checked_sync_type
from dagster_rudderstack.errors import InvalidSettingError
from dagster_rudderstack.settings import (
    DAY,
    OnLostStart,
    OnRunningRun,
    OnRunningSync,
    SyncType,
)
from dagster_rudderstack.text import shown

__all__ = ["RunChoices", "SyncChoices"]


_C = TypeVar("_C", "SyncChoices", "RunChoices")


def _merged(first: _C, second: _C) -> _C:
    """Return the first choices, and those of the second where these are open."""
    made = {name: value for name, value in asdict(first).items() if value is not None}
    return replace(second, **made)


@dataclass(frozen=True)
class SyncChoices:
    """The choices for some syncs. None leaves a choice open: to others, or to the resource.

    Attributes:
        sync_type: `incremental` or `full`.
        on_running_sync: What to do when a sync of the connection is already running.
        timeout_seconds: Seconds that a sync may take, as `sync_timeout_seconds` of the resource.
        poll_interval_seconds: Seconds between two polls, however long the sync has run.

    Raises:
        InvalidSettingError: If a value is invalid. The message names it.
    """

    sync_type: SyncType | None = None
    on_running_sync: OnRunningSync | None = None
    timeout_seconds: int | None = None
    poll_interval_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.sync_type is not None:
            checked_sync_type(self.sync_type)
        if self.on_running_sync is not None:
            checked_choice(self.on_running_sync, OnRunningSync, "on_running_sync")
        _check_times(self.timeout_seconds, self.poll_interval_seconds)

    def over(self, other: SyncChoices) -> SyncChoices:
        """Return these choices, and those of another where these are open."""
        return _merged(self, other)

    @property
    def settings(self) -> dict[str, object]:
        """The settings of the resource that the choices replace."""
        times = _times(self.timeout_seconds, self.poll_interval_seconds)
        return times | ({"on_running_sync": self.on_running_sync} if self.on_running_sync else {})


@dataclass(frozen=True)
class RunChoices:
    """The choices for a run of a source. None leaves a choice open: to others, or to the default.

    Attributes:
        on_running_run: What to do when a run of the source is already running. By default, `wait`.
        on_lost_start: What to do when it is unknown whether a start had an effect. By default,
            `fail`.
        timeout_seconds: Seconds that a run may take, as `sync_timeout_seconds` of the resource.
        poll_interval_seconds: Seconds between two polls, however long the run has run.

    Raises:
        InvalidSettingError: If a value is invalid. The message names it.
    """

    on_running_run: OnRunningRun | None = None
    on_lost_start: OnLostStart | None = None
    timeout_seconds: int | None = None
    poll_interval_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.on_running_run is not None:
            checked_choice(self.on_running_run, OnRunningRun, "on_running_run")
        if self.on_lost_start is not None:
            checked_choice(self.on_lost_start, OnLostStart, "on_lost_start")
        _check_times(self.timeout_seconds, self.poll_interval_seconds)

    def over(self, other: RunChoices) -> RunChoices:
        """Return these choices, and those of another where these are open."""
        return _merged(self, other)

    @property
    def settings(self) -> dict[str, object]:
        """The settings of the resource that the choices replace, and those that runs lack."""
        return {
            **_times(self.timeout_seconds, self.poll_interval_seconds),
            # Not the resource's choice for syncs: a running run has no id to attach to.
            "on_running_sync": self.on_running_run or "wait",
            "on_lost_start": self.on_lost_start or "fail",
        }


def _check_times(timeout_seconds: object, poll_interval_seconds: object) -> None:
    checked_seconds(timeout_seconds, "timeout_seconds")
    interval: Any = poll_interval_seconds
    is_number = isinstance(interval, (int, float)) and not isinstance(interval, bool)
    if interval is not None and not (is_number and 0 < interval <= DAY):
        raise InvalidSettingError(
            f"poll_interval_seconds {shown(interval)}: expected a number of seconds above 0 "
            f"and up to {DAY:,}, or None."
        )


def _times(timeout_seconds: int | None, interval_seconds: float | None) -> dict[str, object]:
    chosen: dict[str, object] = {
        "sync_timeout_seconds": timeout_seconds,
        "poll_min_interval_seconds": interval_seconds,
        "poll_max_interval_seconds": interval_seconds,
    }
    return {name: value for name, value in chosen.items() if value is not None}
