"""`snapshot`: writes what a workspace has into a file, from which definitions load."""

from __future__ import annotations

import argparse
from pathlib import Path

from dagster_rudderstack.cli.access import Access
from dagster_rudderstack.cli.console import Console
from dagster_rudderstack.discovery.replaceable import check_replaceable
from dagster_rudderstack.discovery.snapshot_file import write_snapshot
from dagster_rudderstack.errors import DiscoveryError, InvalidSettingError
from dagster_rudderstack.text import plural

__all__ = ["snapshot"]


def snapshot(access: Access, options: argparse.Namespace, console: Console) -> int:
    """Write or refresh the file, unless it is no snapshot. If that fails, the old file stays."""
    path = Path(options.path)
    if path.is_dir():
        raise InvalidSettingError(f"PATH {options.path!r} is a folder: expected a file in it.")
    if path.exists() and not path.is_file():
        raise InvalidSettingError(f"PATH {options.path!r} is not a regular file.")
    try:
        # The target of a link, so that the link stays.
        path = path.resolve()
        if path.exists():
            check_replaceable(path)
        written = write_snapshot(access.own, path, console)
    except OSError as error:
        raise DiscoveryError(
            f"The snapshot cannot be written to {options.path}: {error}."
        ) from error
    counts = {
        "connection": len(written.connections),
        "source": len(written.sources),
        "destination": len(written.destinations),
    }
    connections, sources, destinations = (plural(count, noun) for noun, count in counts.items())
    console.line(f"Wrote {connections}, {sources} and {destinations} to {options.path}.")
    console.document(
        {"path": options.path, **{f"{noun}s": count for noun, count in counts.items()}}
    )
    return 0
