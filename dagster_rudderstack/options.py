"""Run config of a sync: what a person may change in the launchpad for one run."""

from collections.abc import Mapping
from typing import Any, Literal, Optional

import dagster as dg
from pydantic import ConfigDict, Field, model_validator

from dagster_rudderstack.settings import OnRunningSync, SyncType, check_names

__all__ = ["RudderStackDeferredSyncConfig", "RudderStackSyncConfig", "RudderStackSyncOpConfig"]


class RudderStackSyncConfig(dg.Config):
    """How one run syncs; every setting has a default, so a run needs no config at all."""

    model_config = ConfigDict(extra="forbid")

    sync_type: Literal["default", "incremental", "full"] = Field(
        default="default",
        description=(
            "'incremental': what is new in the warehouse; 'full': all rows, synced before or not; "
            "'default': as the definition says."
        ),
    )
    on_running_sync: Literal["default", "wait", "attach", "fail"] = Field(
        default="default",
        description=(
            "When a sync of the connection is running already: 'wait' for its end and start ours, "
            "'attach' to it and report it, 'fail'; 'default': as the definition says."
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _names_checked(cls, data: Any) -> Any:
        # Before pydantic does, which has no hint at a near name; a subclass may allow any.
        if isinstance(data, Mapping) and cls.model_config.get("extra") == "forbid":
            check_names(data, [info.alias or name for name, info in cls.model_fields.items()])
        return data

    def sync_type_or(self, default: SyncType | None) -> SyncType | None:
        """Return the sync type of this run."""
        return default if self.sync_type == "default" else self.sync_type

    def on_running_sync_or(self, default: OnRunningSync | None) -> OnRunningSync | None:
        """Return what this run does about a sync that is running already."""
        return default if self.on_running_sync == "default" else self.on_running_sync


class RudderStackDeferredSyncConfig(RudderStackSyncConfig):
    """Run config of a deferred sync, which a step only starts."""

    action: Literal["start", "stop", "report"] = Field(
        default="start",
        description=(
            "'start' the sync; 'stop' the one that an earlier run started, if it still runs; "
            "'report' is what the polling sensor asks for when a sync has failed."
        ),
    )
    sync_ids: dict[str, str] = Field(
        default={},
        description="For 'report': the sync of each connection; filled in by the polling sensor.",
    )


class RudderStackSyncOpConfig(RudderStackSyncConfig):
    """Run config of `rudderstack_sync_op`."""

    connection_id: str = Field(description="The connection to sync.")
    on_disabled: Literal["fail", "skip"] = Field(
        default="fail",
        description="When the connection is disabled in RudderStack: 'fail', or 'skip' the op.",
    )
    asset_key: Optional[list[str]] = Field(  # noqa: UP045 - Dagster's config takes Optional
        default=None,
        description="Asset to report a materialization of; none: the op reports none.",
    )
    max_failed_rows: Optional[int] = Field(  # noqa: UP045
        default=None,
        description="Rejected rows above which the op fails; none: no limit.",
    )
    max_failed_ratio: Optional[float] = Field(  # noqa: UP045
        default=None,
        description="Share of rejected rows, 0.0 to 1.0, above which the op fails; none: no limit.",
    )
