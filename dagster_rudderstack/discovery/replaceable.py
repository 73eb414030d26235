"""Which files a snapshot may replace: what else a file of that name may be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dagster_rudderstack.errors import InvalidSettingError

__all__ = ["check_is_no_configuration", "check_replaceable"]

CONFIGURATION_KEYS = frozenset({"connections", "destinations", "faults", "projects", "sources"})
"""The keys in the configuration of the local RudderStack. Some are those of a snapshot too."""

SNAPSHOT_KEYS = frozenset({"fetched_at", "version"})
"""The keys that only a snapshot has."""

_BEGINNING = '{"version":'
_BEGINNING_LENGTH = 1000
"""How much of a damaged file is searched for the moment at which a snapshot was made."""


def check_is_no_configuration(path: Path) -> None:
    """Raise InvalidSettingError if a file is a configuration of the local RudderStack."""
    try:
        document = json.loads(_text(path))
    except (OSError, ValueError, RecursionError):
        return
    if _is_configuration(document):
        raise InvalidSettingError(
            f"{path} is a configuration of the local RudderStack, not a snapshot of a workspace. "
            "Use the path of another file for the snapshot."
        )


def check_replaceable(path: Path) -> None:
    """Raise InvalidSettingError if a file has content that is not a snapshot, nor a damaged one.

    Raises:
        OSError: If the file cannot be read.
    """
    check_is_no_configuration(path)
    if not _is_replaceable(_text(path)):
        raise InvalidSettingError(
            f"{path} is not a snapshot, and would be overwritten. Use the path of another file, or "
            "delete this one first."
        )


def _text(path: Path) -> str:
    # After a crash of the machine, a file can have zeros instead of its content.
    return path.read_bytes().decode("utf-8-sig", errors="replace").strip("\0 \t\r\n")


def _is_configuration(document: Any) -> bool:
    if not isinstance(document, dict) or SNAPSHOT_KEYS & document.keys():
        return False
    return bool(CONFIGURATION_KEYS & document.keys())


def _is_replaceable(text: str) -> bool:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        # A snapshot that was cut off, or has the marks of a merge conflict.
        begins = "".join(text[:_BEGINNING_LENGTH].split())
        return _BEGINNING.startswith(begins[: len(_BEGINNING)]) or '"fetched_at":' in begins
    return not document or (isinstance(document, dict) and document.keys() >= SNAPSHOT_KEYS)
