"""`check`: what keeps syncs from working, one line for each finding, and what to do."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from dagster_rudderstack.api.client import RudderStackClient
from dagster_rudderstack.api.models import Connection, Workspace
from dagster_rudderstack.api.paging import CONNECTIONS, DESTINATIONS, SOURCES
from dagster_rudderstack.cli.access import Access
from dagster_rudderstack.cli.arguments import REGION_VARIABLE, TOKEN_VARIABLE, checked_connection
from dagster_rudderstack.cli.console import Console
from dagster_rudderstack.cli.names import Names, schedule_text
from dagster_rudderstack.discovery.fetch import WorkspaceObjects
from dagster_rudderstack.errors import (
    ApiError,
    AuthenticationError,
    InvalidSettingError,
    NotFoundError,
    PermissionDeniedError,
    TransportError,
)
from dagster_rudderstack.sync.failed_rows import WITHOUT_LOG
from dagster_rudderstack.text import one_line, plural, sentence

__all__ = ["check"]

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One line of the result.

    Attributes:
        level: A `problem` makes syncs fail. A `warning` does not.
        check: What was checked, in one or two words.
        message: What was found, and what to do.
        connection_id: The connection that it is about. None if it is about all.
    """

    level: Level
    check: str
    message: str
    connection_id: str | None = None


def check(access: Access, options: argparse.Namespace, console: Console) -> int:
    """Print what keeps syncs from working. Return 1 if there is a problem."""
    given = options.connection
    connection_id = None if given is None else checked_connection(given)
    findings = []
    for finding in _findings(access, connection_id):
        findings.append(finding)
        console.line(f"{finding.level:<7}  {finding.check:<11}  {one_line(finding.message, 2000)}")
    counts = Counter(finding.level for finding in findings)
    console.line(_summary(counts["problem"], counts["warning"]))
    console.document(
        {
            "problems": counts["problem"],
            "warnings": counts["warning"],
            "findings": [asdict(finding) for finding in findings],
        }
    )
    return 1 if counts["problem"] else 0


def _summary(problems: int, warnings: int) -> str:
    parts = [plural(problems, "problem") if problems else "No problem"]
    return ", ".join([*parts, plural(warnings, "warning")] if warnings else parts) + "."


def _findings(access: Access, connection_id: str | None) -> Iterator[Finding]:
    """Check one thing after another, until one cannot be checked."""
    try:
        access.checked_access_token()
    except InvalidSettingError as error:
        yield Finding("problem", "token", str(error))
        return
    try:
        workspace = _workspace_of(access.client)
    except AuthenticationError as error:
        yield from _refused_token(access, error)
        return
    except ApiError as error:
        yield _problem(error)
        return
    yield Finding("ok", "token", f"{TOKEN_VARIABLE} is accepted{_of(workspace)}.")
    where = f"region is {access.region}" if access.region else "api_url is set"
    yield Finding("ok", "region", f"{where}: {access.address()}")
    yield from _workspace_findings(access, connection_id)


def _problem(error: ApiError, connection_id: str | None = None) -> Finding:
    """Return the finding of a request that failed."""
    if isinstance(error, TransportError):
        hint = "Check the address, the network, the firewall and the proxy (HTTPS_PROXY)."
        return Finding("problem", "network", f"{error} {hint}", connection_id)
    is_refusal = isinstance(error, PermissionDeniedError) and not error.is_web_page
    kind = "permissions" if is_refusal else "api"
    return Finding("problem", kind, str(error), connection_id)


def _workspace_of(client: RudderStackClient, *, needs_proof: bool = False) -> Workspace | None:
    """Return the workspace of the token. None if RudderStack does not show it.

    Args:
        client: The client.
        needs_proof: Whether a 403 is not enough, since it does not prove that the token is known.

    Raises:
        AuthenticationError: If the token is not accepted.
        ApiError: If RudderStack cannot be asked.
    """
    try:
        return client.get_workspace()
    except (AuthenticationError, NotFoundError, PermissionDeniedError):
        # An old deployment, or another refusal. The answer to another request says whether the
        # token is accepted.
        try:
            client.get_page(CONNECTIONS, CONNECTIONS.query)
        except PermissionDeniedError as error:
            if needs_proof or error.is_web_page:
                raise
        return None


def _of(workspace: Workspace | None) -> str:
    return f": workspace {one_line(workspace.name, 100)} ({workspace.id})" if workspace else ""


# --- a token that is not accepted


def _refused_token(access: Access, refused: AuthenticationError) -> Iterator[Finding]:
    """Find out whether the token belongs to the other region."""
    if access.region is None:
        yield Finding("problem", "token", str(refused))
        return
    asked = access.region
    (other,) = (region for region in access.surroundings.hosts if region != asked)
    says = f" RudderStack says: {sentence(refused.detail)}" if refused.detail else ""
    try:
        workspace = _workspace_of(access.resource(other).get_client(), needs_proof=True)
    except AuthenticationError:
        yield Finding(
            "problem",
            "token",
            f"{TOKEN_VARIABLE} is accepted by neither region.{says} Set it to a service access "
            "token of the workspace.",
        )
    except ApiError as error:
        yield Finding(
            "problem",
            "token",
            f"{TOKEN_VARIABLE} is not accepted by the {asked.upper()} region.{says} The "
            f"{other.upper()} region could not be asked. {error}",
        )
    else:
        yield Finding("ok", "token", f"{TOKEN_VARIABLE} is accepted{_of(workspace)}.")
        yield Finding(
            "problem",
            "region",
            f"The token belongs to the {other.upper()} region, but region is {asked!r}. Set "
            f"region={other!r} in the resource, and {REGION_VARIABLE}={other} for this command.",
        )


# --- permissions and connections


class _Warnings:
    """Collects what could not be read."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def info(self, msg: object, /) -> None:
        """Drop what needs no action."""

    def warning(self, msg: object, /) -> None:
        """Keep a warning."""
        self.messages.append(str(msg))


def _workspace_findings(access: Access, connection_id: str | None) -> Iterator[Finding]:
    unread = _Warnings()
    try:
        found = _read(access, connection_id, unread)
    except NotFoundError as error:
        message = _unknown(access, connection_id, error)
        yield Finding("problem", "connection", message, connection_id)
        return
    except ApiError as error:
        yield _problem(error, connection_id)
        return
    newest = access.newest_syncs([connection.id for connection in found.connections])
    unreadable = {id_: each for id_, each in newest.items() if isinstance(each, ApiError)}
    permissions = [
        *(Finding("warning", "permissions", message) for message in unread.messages),
        *(_problem(each, id_) for id_, each in unreadable.items()),
    ]
    yield from permissions or [
        Finding(
            "ok",
            "permissions",
            "The token may read connections and syncs. Whether it may start a sync is known only "
            "after a start.",
        )
    ]
    names = Names(found)
    for connection in found.connections:
        findings = _connection_findings(connection, names)
        yield from (
            each for each in findings if each.level != "ok" or connection.id not in unreadable
        )
    if not found.connections:
        yield Finding("warning", "connection", "The workspace has no Reverse ETL connection.")


def _read(access: Access, connection_id: str | None, unread: _Warnings) -> WorkspaceObjects:
    if connection_id is None:
        return access.objects(log=unread)
    connection = access.ask(lambda client: client.get_connection(connection_id))
    objects = access.objects([SOURCES, DESTINATIONS], unread)
    return WorkspaceObjects([connection], objects.sources, objects.destinations)


def _unknown(access: Access, connection_id: str | None, error: NotFoundError) -> str:
    if connection_id is None:
        return str(error)
    return f"The workspace has no connection {connection_id}. {access.hint_for(connection_id)}"


def _connection_findings(connection: Connection, names: Names) -> Iterator[Finding]:
    label = names.label(connection)
    findings = []
    if not connection.enabled:
        findings.append(
            Finding(
                "problem",
                "connection",
                f"{label} is disabled. Enable it in RudderStack's dashboard, or set "
                "on_disabled='skip'.",
                connection.id,
            )
        )
    schedule = connection.schedule
    if schedule is not None and not schedule.is_manual:
        findings.append(
            Finding(
                "warning",
                "schedule",
                f"RudderStack also syncs {label} on its own schedule ({schedule_text(schedule)}). "
                "Set the schedule to Manual in the dashboard, so that only Dagster starts its "
                "syncs.",
                connection.id,
            )
        )
    has_log = names.warehouse(connection) not in WITHOUT_LOG
    if has_log and not connection.sync_logs.enabled:
        findings.append(
            Finding(
                "warning",
                "sync log",
                f"{label} writes no sync logs, so its rejected rows cannot be listed. Turn on "
                '"Retain sync logs" in the Settings tab of the connection in the dashboard.',
                connection.id,
            )
        )
    facts = "is enabled, is not scheduled by RudderStack and writes sync logs"
    if not has_log:
        facts = "is enabled and is not scheduled by RudderStack"
    yield from findings or [Finding("ok", "connection", f"{label} {facts}.", connection.id)]
