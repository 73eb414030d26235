"""The snapshot of a workspace that is kept with the code location, without a file.

The process that loads the code location reads the workspace. Dagster passes the snapshot to the
processes of its runs and steps, with the plan of each run.
"""

import base64
import zlib
from collections.abc import Callable
from datetime import datetime, timezone

import dagster as dg

from dagster_rudderstack.dagster_internals import kept_with_code_location
from dagster_rudderstack.discovery.snapshot import WorkspaceSnapshot
from dagster_rudderstack.resource import RudderStackResource

__all__ = ["kept_snapshot", "workspace_name"]

_NO_TIME = datetime(2000, 1, 1, tzinfo=timezone.utc)


def kept_snapshot(
    resource: RudderStackResource, fetch: Callable[[], WorkspaceSnapshot]
) -> WorkspaceSnapshot:
    """Return the snapshot that the code location has, or read the workspace.

    A workspace is read once while a code location loads. If the token is written in code, it is
    read each time: two such workspaces could not be distinguished without revealing the tokens.

    Args:
        resource: The resource of the workspace.
        fetch: Reads the workspace.
    """
    if not isinstance(resource.access_token, dg.EnvVar):
        return fetch()
    key = f"dagster-rudderstack/{workspace_name(resource)}"
    return _unpacked(kept_with_code_location(key, lambda: _packed(fetch())))


def _packed(snapshot: WorkspaceSnapshot) -> str:
    """Return a snapshot as a text that Dagster can keep.

    Dagster stores and sends it with each plan of a run, so it is compressed. Without its time it
    is the same until the workspace changes, and Dagster stores equal plans once.
    """
    text = snapshot.model_copy(update={"fetched_at": _NO_TIME}).dumps()
    return base64.b64encode(zlib.compress(text.encode())).decode()


def _unpacked(text: str) -> WorkspaceSnapshot:
    return WorkspaceSnapshot.loads(zlib.decompress(base64.b64decode(text)).decode())


def workspace_name(resource: RudderStackResource) -> str:
    """Return a name that identifies the workspace. It does not reveal the token."""
    address = resource.api_url if resource.api_url is not None else resource.region
    return f"{_text(address) or 'us'}/{_token_name(resource.access_token)}"


def _text(value: str | None) -> str | None:
    return value.env_var_name if isinstance(value, dg.EnvVar) else value


def _token_name(token: str) -> str:
    if isinstance(token, dg.EnvVar):
        return token.env_var_name
    # Not even a hash of the token: the name is shown, and a short token could be guessed from it.
    return "token in code"
