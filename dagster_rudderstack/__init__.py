"""RudderStack Reverse ETL syncs, Profiles and ETL as Dagster assets and ops.

The names in `__all__` are the public API. The local RudderStack for tests is in
`dagster_rudderstack.testing`.
"""

from dagster_rudderstack.api.models import Connection, Sync, SyncMetrics, SyncState
from dagster_rudderstack.api.profiles import ProfilesParameters
from dagster_rudderstack.api.source_runs import SourceRun, SourceRunTask
from dagster_rudderstack.assets.factories import (
    build_rudderstack_sync_asset,
    build_rudderstack_sync_assets,
    rudderstack_assets,
)
from dagster_rudderstack.assets.syncs import RudderStackSyncs
from dagster_rudderstack.checks.duration import DurationCheck
from dagster_rudderstack.checks.rejected_rows import RejectedRowsCheck
from dagster_rudderstack.checks.source_rows import NoRowsCheck, NothingChangedCheck
from dagster_rudderstack.checks.sync_checks import SyncChecks
from dagster_rudderstack.components.connection import RudderStackConnectionComponent
from dagster_rudderstack.components.source_runs import (
    RudderStackProfilesComponent,
    RudderStackSourceComponent,
)
from dagster_rudderstack.components.workspace import RudderStackWorkspaceComponent
from dagster_rudderstack.dagster_internals import register_library as _register_library
from dagster_rudderstack.discovery.load import (
    build_rudderstack_assets_definitions,
    load_rudderstack_asset_specs,
)
from dagster_rudderstack.discovery.props import RudderStackConnectionProps
from dagster_rudderstack.discovery.selector import RudderStackConnectionSelector
from dagster_rudderstack.discovery.snapshot import WorkspaceSnapshot
from dagster_rudderstack.discovery.snapshot_file import (
    fetch_rudderstack_workspace,
    refresh_rudderstack_snapshot,
)
from dagster_rudderstack.discovery.tables import UpstreamTable
from dagster_rudderstack.discovery.translator import DagsterRudderStackTranslator
from dagster_rudderstack.discovery.upstream import Upstream
from dagster_rudderstack.errors import (
    ApiError,
    AuthenticationError,
    ConflictError,
    ConnectionDisabledError,
    DiscoveryError,
    InvalidSettingError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RowsRejectedError,
    RudderStackError,
    StartLostError,
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
from dagster_rudderstack.metadata import MetadataKey
from dagster_rudderstack.metadata_set import RudderStackMetadataSet, latest_failed_rows_sql
from dagster_rudderstack.ops import build_rudderstack_sync_op, rudderstack_sync_op
from dagster_rudderstack.options import (
    RudderStackSyncConfig,
    RudderStackSyncOpConfig,
)
from dagster_rudderstack.resource import RudderStackResource
from dagster_rudderstack.sensor.sensor import build_rudderstack_polling_sensor
from dagster_rudderstack.source_runs.assets import (
    build_rudderstack_profiles_asset,
    build_rudderstack_source_asset,
)
from dagster_rudderstack.source_runs.ops import (
    build_rudderstack_profiles_op,
    build_rudderstack_source_op,
)
from dagster_rudderstack.source_runs.options import (
    RudderStackProfilesConfig,
    RudderStackSourceConfig,
)
from dagster_rudderstack.sync.request import SourceRunReport, SyncReport
from dagster_rudderstack.vendor_names import explain_imports as _explain_imports
from dagster_rudderstack.version import __version__

__all__ = [
    "ApiError",
    "AuthenticationError",
    "ConflictError",
    "Connection",
    "ConnectionDisabledError",
    "DagsterRudderStackTranslator",
    "DiscoveryError",
    "DurationCheck",
    "InvalidSettingError",
    "MetadataKey",
    "NoRowsCheck",
    "NotFoundError",
    "NothingChangedCheck",
    "PermissionDeniedError",
    "ProfilesParameters",
    "RateLimitedError",
    "RejectedRowsCheck",
    "RowsRejectedError",
    "RudderStackConnectionComponent",
    "RudderStackConnectionProps",
    "RudderStackConnectionSelector",
    "RudderStackError",
    "RudderStackMetadataSet",
    "RudderStackProfilesComponent",
    "RudderStackProfilesConfig",
    "RudderStackResource",
    "RudderStackSourceComponent",
    "RudderStackSourceConfig",
    "RudderStackSyncConfig",
    "RudderStackSyncOpConfig",
    "RudderStackSyncs",
    "RudderStackWorkspaceComponent",
    "SourceRun",
    "SourceRunReport",
    "SourceRunTask",
    "StartLostError",
    "StatusError",
    "Sync",
    "SyncAbortedError",
    "SyncAlreadyRunningError",
    "SyncChecks",
    "SyncError",
    "SyncFailedError",
    "SyncLostError",
    "SyncMetrics",
    "SyncReport",
    "SyncState",
    "SyncTimedOutError",
    "TransportError",
    "UnexpectedResponseError",
    "Upstream",
    "UpstreamTable",
    "WorkspaceSnapshot",
    "__version__",
    "build_rudderstack_assets_definitions",
    "build_rudderstack_polling_sensor",
    "build_rudderstack_profiles_asset",
    "build_rudderstack_profiles_op",
    "build_rudderstack_source_asset",
    "build_rudderstack_source_op",
    "build_rudderstack_sync_asset",
    "build_rudderstack_sync_assets",
    "build_rudderstack_sync_op",
    "fetch_rudderstack_workspace",
    "latest_failed_rows_sql",
    "load_rudderstack_asset_specs",
    "refresh_rudderstack_snapshot",
    "rudderstack_assets",
    "rudderstack_sync_op",
]

_register_library("dagster-rudderstack", __version__)
_explain_imports()
