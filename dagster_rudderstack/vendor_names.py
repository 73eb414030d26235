"""The names of RudderStack's own package: importing one fails, and the error names the new one.

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

__all__ = ["NEW_NAMES", "explain_imports"]

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
            ImportError: If the name is one of RudderStack's own package.
        """
        package, _, name = fullname.partition(".")
        if package == _PACKAGE and name in _REPLACED:
            raise ImportError(_message(fullname, _REPLACED[name]), name=fullname)
        return None


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
