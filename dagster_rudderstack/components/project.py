"""The place of a component in its project, and the other definitions of the project."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal

import dagster as dg
from dagster.components import DefsFolderComponent

from dagster_rudderstack.components.attributes import SyncAttributes
from dagster_rudderstack.discovery.known_assets import UpstreamAssets
from dagster_rudderstack.discovery.names import hash_digits

__all__ = ["folder_name", "upstream_assets_of"]


def _place(context: dg.ComponentLoadContext) -> Any:
    """Return the place of a component: a path below `defs`, unless the UI created it."""
    # Dagster 1.12 has only paths.
    return getattr(context, "component_loc", None) or context.component_path


def _file_path(context: dg.ComponentLoadContext) -> Path | None:
    path: Path | None = getattr(_place(context), "file_path", None)
    return path


_ORDINARY = re.compile(r"[A-Za-z0-9]+(_[A-Za-z0-9]+)*")
"""The name of a folder that needs no digits to stay distinct in the name of a resource."""


def folder_name(context: dg.ComponentLoadContext) -> str:
    """Return a part of a name that is unique to the component: its place below `defs`.

    Names of nested folders are joined by two underscores. A name that has anything but words of
    letters and digits, joined by single underscores, gets the digits of a hash.
    """
    path = _file_path(context)
    is_below = path is not None and path.is_relative_to(context.defs_module_path)
    folders = path.relative_to(context.defs_module_path).parts if path and is_below else ()
    # The number of a component among several in one file, the name of a variable in Python, or the
    # id that the UI gave it.
    key = _place(context).instance_key or None
    # Beside a component in `defs` itself there are no others.
    words = [*(folders or ["workspace"]), *([] if key is None else [str(key)])]
    name = "__".join(re.sub(r"\W", "_", word, flags=re.ASCII) for word in words)
    if _is_distinct(folders) and (key is None or isinstance(key, int)):
        return name
    # The files of macOS may have another form of the same letters.
    place = unicodedata.normalize("NFC", "/".join(map(repr, [*folders, key])))
    return f"{name}_{hash_digits(place)}"


def _is_distinct(folders: Sequence[str]) -> bool:
    """Whether the joined names of folders can be no other place. A number may be a component's."""
    ordinary = all(_ORDINARY.fullmatch(folder) for folder in folders)
    return ordinary and not any(folder.isdecimal() for folder in folders[1:])


_linking: ContextVar[frozenset[Path | None]] = ContextVar("linking", default=frozenset())
"""The components whose upstream assets are being loaded."""


def upstream_assets_of(
    context: dg.ComponentLoadContext, upstream_from: Literal["project"] | Sequence[str]
) -> UpstreamAssets:
    """Return the definitions of the other components of the project."""
    here = _file_path(context)
    if here in _linking.get():
        # This component's definitions are needed to load its own upstream assets.
        return []
    token = _linking.set(_linking.get() | {here})
    try:
        places = _others(context) if upstream_from == "project" else map(Path, upstream_from)
        return [context.build_defs(place) for place in places]
    finally:
        _linking.reset(token)


def _others(context: dg.ComponentLoadContext) -> Iterator[Path]:
    """Yield the places of the project's components, without workspaces."""
    root = context.load_structural_component_at_path(context.defs_module_path)
    here = _file_path(context)
    for place in _leaves(context.defs_module_path, root):
        # The assets of a workspace are connections, and to build them takes longer.
        is_workspace = (SyncAttributes, dg.StateBackedComponent)
        component = context.load_component(place) if place != here else None
        if component and not all(isinstance(component, each) for each in is_workspace):
            yield place


def _leaves(place: Path, component: dg.Component) -> Iterator[Path]:
    if not isinstance(component, DefsFolderComponent):
        yield place
        return
    for child_place, child in component.children.items():
        yield from _leaves(child_place, child)
