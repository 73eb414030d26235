"""Names of RudderStack's own package and of other integrations, and what to use instead.

Importing a module or a name of RudderStack's own package fails, and the error names the new one.
The same holds for its settings, arguments and methods.

Versions up to 1.3.0 of `dagster-rudderstack` are that package. Code that was written for it, and
pickled values of it, import modules and names that are not in this package.

    >>> from dagster_rudderstack.ops.retl import rudderstack_sync_op
    ImportError: dagster_rudderstack.ops.retl is part of RudderStack's own package,
    dagster-rudderstack 1.3.0. [...] Import from dagster_rudderstack: rudderstack_sync_op,
    RudderStackSyncOpConfig instead of RudderStackRETLOpConfig. [...]
"""

import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from dagster_rudderstack.version import __version__

__all__ = [
    "NEW_NAMES",
    "RENAMED_METHODS",
    "RENAMED_OPTIONS",
    "RENAMED_SETTINGS",
    "explain_imports",
]

NEW_NAMES: Mapping[str, Mapping[str, str]] = {
    # Python imports `resources` before `resources.rudderstack`, so the error is about `resources`.
    "resources": {
        "RudderStackProfilesResource": "RudderStackResource",
        "RudderStackRETLResource": "RudderStackResource",
    },
    "ops.retl": {
        "rudderstack_sync_op": "rudderstack_sync_op",
        "RudderStackRETLOpConfig": "RudderStackSyncOpConfig",
    },
    "ops.profiles": {
        "rudderstack_profiles_op": "build_rudderstack_profiles_op",
        "RudderStackProfilesOpConfig": "RudderStackProfilesConfig",
    },
    "types": {
        "RudderStackProfilesOutput": "SourceRunReport",
        "RudderStackRetlOutput": "SyncReport",
    },
}
"""By module of RudderStack's own package: its names, and the name in `dagster_rudderstack`."""

_PACKAGE = __name__.partition(".")[0]
_REPLACED = {
    **NEW_NAMES,
    **{old: {old: new} for names in NEW_NAMES.values() for old, new in names.items()},
}


class _VendorImports(MetaPathFinder):
    """Finds no module. Python asks it last, for modules and names that the package does not have.

    `from dagster_rudderstack import name` looks for a module of that name if the package has no
    such attribute. A `__getattr__` of the package could not do this: `hasattr` needs an
    AttributeError from it, and an import replaces the text of an AttributeError.
    """

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - Python's signature
        target: ModuleType | None = None,  # noqa: ARG002 - Python's signature
    ) -> ModuleSpec | None:
        """Return None.

        Raises:
            ImportError: If a name of RudderStack's own package is imported.
        """
        package, _, name = fullname.partition(".")
        if package == _PACKAGE and name in _REPLACED and not _is_only_a_question():
            raise ImportError(_message(fullname, _REPLACED[name]), name=fullname)
        return None


def _is_only_a_question() -> bool:
    """Whether `importlib.util.find_spec` asks if there is a module: it is to return None then."""
    # This function, the finder, Python's search for a finder, and who has called that.
    caller = sys._getframe(3)  # noqa: SLF001 - a finder does not learn why it is asked
    return caller.f_globals.get("__name__") == "importlib.util"


def _message(fullname: str, names: Mapping[str, str]) -> str:
    by_new_name: dict[str, list[str]] = {}
    for old, new in names.items():
        by_new_name.setdefault(new, []).append(old)
    instead = [
        new if olds == [new] else f"{new} instead of {' and '.join(olds)}"
        for new, olds in by_new_name.items()
    ]
    return (
        f"{fullname} is part of RudderStack's own package, dagster-rudderstack 1.3.0. This is "
        f"dagster-rudderstack {__version__}, another package with the same name. Import from "
        f"{_PACKAGE}: {', '.join(instead)}. docs/migration.md shows whole files. To keep "
        "RudderStack's own package, install 'dagster-rudderstack<2'."
    )


_FINDER = _VendorImports()


def explain_imports() -> None:
    """Make the import of a name of RudderStack's own package say what has replaced it."""
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)


# --- settings, arguments and methods

_USE_TIMEOUTS = (
    "Use sync_timeout_seconds for a sync, or connect_timeout_seconds and read_timeout_seconds for "
    "a request."
)
_USE_TOKEN = "Use access_token."  # noqa: S105 - the name, not the token
_USE_ADDRESS = "Use region or api_url."

RENAMED_SETTINGS = {
    # RudderStack's own package 1.3.0.
    "rs_cloud_url": _USE_ADDRESS,
    "request_timeout": "Use connect_timeout_seconds and read_timeout_seconds.",
    "request_retry_delay": "It has no replacement: the library increases the waits.",
    "poll_interval": "Use poll_min_interval_seconds and poll_max_interval_seconds.",
    "poll_timeout": "Use sync_timeout_seconds.",
    # Other integrations, and first guesses.
    "api_key": _USE_TOKEN,
    "api_token": _USE_TOKEN,
    "token": _USE_TOKEN,
    "base_url": _USE_ADDRESS,
    "host": _USE_ADDRESS,
    "url": _USE_ADDRESS,
    "max_retries": "Use request_max_retries.",
    "timeout": _USE_TIMEOUTS,
    "timeout_seconds": _USE_TIMEOUTS,
    "poll_interval_seconds": "Use poll_min_interval_seconds and poll_max_interval_seconds.",
    "workspace_id": "Leave it out: the access token belongs to one workspace.",
}
"""What to use instead of settings of other packages, as a sentence."""

RENAMED_OPTIONS = {
    # RudderStack's own packages, other integrations, and first guesses.
    "check": "Use checks=SyncChecks(...).",
    "config": "Give the options as arguments.",
    "connection": "Use connection_id.",
    "on_failure": "A sync that fails always fails its step.",
    "parameters": "A Profiles project takes model_refs, begin_time, end_time and "
    "rebase_incremental.",
    "poll_interval": "Use poll_interval_seconds.",
    "poll_timeout": "Use timeout_seconds.",
    "profile_id": "Use source_id, in the definition.",
    "resource": "Use resource_key, with the key of the resource in the definitions.",
    "rudderstack": "Use resource_key, with the key of the resource in the definitions.",
    "spec": "Several connections have their assets in connections, and a source in specs. An op "
    "takes asset_key.",
    "specs": "One connection has its asset in spec, and several in connections. An op takes "
    "asset_key.",
    "timeout": "Use timeout_seconds.",
    "wait": "Only assets of connections can end before their syncs do. An op always waits.",
    "wait_for_completion": "An asset of a connection takes wait. Ops and sources always wait.",
}
"""What to use instead of arguments of other packages and of other factories, as a sentence."""

RENAMED_METHODS = {
    "start_and_poll": (
        "Use sync_and_poll(connection_id, sync_type), or run_source_and_poll(source_id, parameters)"
        " for a Profiles project."
    ),
    "start_profile_run": "Use start_source_run(source_id, parameters).",
    "poll_profile_run": (
        "Use get_source_run(source_id, run_id), which reads the run once, or "
        "run_source_and_poll(source_id, parameters), which starts it and waits."
    ),
}
"""What to use instead of the methods of the resources of RudderStack's own package 1.3.0."""
