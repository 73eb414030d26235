"""RudderStack Reverse ETL syncs as first-class citizens of Dagster.

What is imported here is promised; see each name's docstring. The local RudderStack for your own
tests is in `dagster_rudderstack.testing`.
"""

# Dagster has no public name for its registry of libraries.
from dagster._core.libraries import DagsterLibraryRegistry as _DagsterLibraryRegistry

from dagster_rudderstack.assets import build_rudderstack_sync_asset
from dagster_rudderstack.config import RudderStackSyncConfig, RudderStackSyncOpConfig
from dagster_rudderstack.errors import (
    ApiError,
    AuthenticationError,
    ConflictError,
    ConnectionDisabledError,
    InvalidSettingError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RowsRejectedError,
    RudderStackError,
    StatusError,
    SyncAbortedError,
    SyncAlreadyRunningError,
    SyncError,
    SyncFailedError,
    SyncLostError,
    SyncTimedOutError,
    TransportError,
    UnexpectedResponseError,
)
from dagster_rudderstack.metadata import MetadataKey, RejectedRowsCheck
from dagster_rudderstack.models import Connection, Sync, SyncMetrics, SyncState
from dagster_rudderstack.ops import build_rudderstack_sync_op, rudderstack_sync_op
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.sync import SyncReport
from dagster_rudderstack.version import __version__

__all__ = [
    "ApiError",
    "AuthenticationError",
    "ConflictError",
    "Connection",
    "ConnectionDisabledError",
    "InvalidSettingError",
    "MetadataKey",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitedError",
    "RejectedRowsCheck",
    "RowsRejectedError",
    "RudderStackError",
    "RudderStackResource",
    "RudderStackSyncConfig",
    "RudderStackSyncOpConfig",
    "StatusError",
    "Sync",
    "SyncAbortedError",
    "SyncAlreadyRunningError",
    "SyncError",
    "SyncFailedError",
    "SyncLostError",
    "SyncMetrics",
    "SyncReport",
    "SyncState",
    "SyncTimedOutError",
    "TransportError",
    "UnexpectedResponseError",
    "__version__",
    "build_rudderstack_sync_asset",
    "build_rudderstack_sync_op",
    "rudderstack_sync_op",
]

_DagsterLibraryRegistry.register("dagster-rudderstack", __version__, is_dagster_package=False)
