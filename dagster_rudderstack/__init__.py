"""RudderStack Reverse ETL syncs as first-class citizens of Dagster.

What is named here is promised; see each name's docstring. The local RudderStack for your own
tests is in `dagster_rudderstack.testing`.

A name is loaded when it is first used, so that a code location pays for what it uses.
"""

import importlib
from typing import TYPE_CHECKING, Any

# Dagster has no public name for its registry of libraries.
from dagster._core.libraries import DagsterLibraryRegistry as _DagsterLibraryRegistry

from dagster_rudderstack.version import __version__

if TYPE_CHECKING:
    from dagster_rudderstack.assets import (
        build_rudderstack_sync_asset,
        build_rudderstack_sync_assets,
    )
    from dagster_rudderstack.component import (
        RudderStackConnectionComponent,
        RudderStackWorkspaceComponent,
    )
    from dagster_rudderstack.config import (
        RudderStackDeferredSyncConfig,
        RudderStackSyncConfig,
        RudderStackSyncOpConfig,
    )
    from dagster_rudderstack.discovery import (
        build_rudderstack_assets_definitions,
        fetch_rudderstack_workspace,
        load_rudderstack_asset_specs,
        refresh_rudderstack_snapshot,
        rudderstack_assets,
    )
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
    from dagster_rudderstack.selector import RudderStackConnectionSelector
    from dagster_rudderstack.sensors import build_rudderstack_polling_sensor
    from dagster_rudderstack.sync import SyncReport
    from dagster_rudderstack.translator import (
        DagsterRudderStackTranslator,
        RudderStackConnectionProps,
    )
    from dagster_rudderstack.upstream import Upstream, UpstreamTable
    from dagster_rudderstack.workspace import WorkspaceSnapshot

__all__ = [
    "ApiError",
    "AuthenticationError",
    "ConflictError",
    "Connection",
    "ConnectionDisabledError",
    "DagsterRudderStackTranslator",
    "DiscoveryError",
    "InvalidSettingError",
    "MetadataKey",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitedError",
    "RejectedRowsCheck",
    "RowsRejectedError",
    "RudderStackConnectionComponent",
    "RudderStackConnectionProps",
    "RudderStackConnectionSelector",
    "RudderStackDeferredSyncConfig",
    "RudderStackError",
    "RudderStackResource",
    "RudderStackSyncConfig",
    "RudderStackSyncOpConfig",
    "RudderStackWorkspaceComponent",
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
    "Upstream",
    "UpstreamTable",
    "WorkspaceSnapshot",
    "__version__",
    "build_rudderstack_assets_definitions",
    "build_rudderstack_polling_sensor",
    "build_rudderstack_sync_asset",
    "build_rudderstack_sync_assets",
    "build_rudderstack_sync_op",
    "fetch_rudderstack_workspace",
    "load_rudderstack_asset_specs",
    "refresh_rudderstack_snapshot",
    "rudderstack_assets",
    "rudderstack_sync_op",
]

_MODULES = {
    "assets": ("build_rudderstack_sync_asset", "build_rudderstack_sync_assets"),
    "component": ("RudderStackConnectionComponent", "RudderStackWorkspaceComponent"),
    "config": (
        "RudderStackDeferredSyncConfig",
        "RudderStackSyncConfig",
        "RudderStackSyncOpConfig",
    ),
    "discovery": (
        "build_rudderstack_assets_definitions",
        "fetch_rudderstack_workspace",
        "load_rudderstack_asset_specs",
        "refresh_rudderstack_snapshot",
        "rudderstack_assets",
    ),
    "metadata": ("MetadataKey", "RejectedRowsCheck"),
    "models": ("Connection", "Sync", "SyncMetrics", "SyncState"),
    "ops": ("build_rudderstack_sync_op", "rudderstack_sync_op"),
    "resource": ("RudderStackResource",),
    "selector": ("RudderStackConnectionSelector",),
    "sensors": ("build_rudderstack_polling_sensor",),
    "sync": ("SyncReport",),
    "translator": ("DagsterRudderStackTranslator", "RudderStackConnectionProps"),
    "upstream": ("Upstream", "UpstreamTable"),
    "workspace": ("WorkspaceSnapshot",),
}
"""Where each name is; those that are in none of these are in `errors`."""

_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOMES.get(name, 'errors')}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_DagsterLibraryRegistry.register("dagster-rudderstack", __version__, is_dagster_package=False)
